"""The ground of the simulated site as rasters, and how it looks on one day under one sun."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import shapely

from changedet.bands import COMPARED_BANDS
from changedet.simulator.atmosphere import diffuse_share
from changedet.simulator.scenery import (
    APRON,
    CODES,
    COVERS,
    FIELD_ANGLE_DEG,
    FINE_M,
    LAYOUT_SEED,
    SITE_M,
    SPECTRA,
    buildings,
    decoys,
    events,
    fine_axis,
    fractal_noise,
    parcel_labels,
    turned_box,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from changedet.simulator.atmosphere import Sun
    from changedet.simulator.scenery import Cover

_CROPS = ("winter wheat", "maize", "soybean", "vegetables", "fallow")
_CROP_SHARES = (0.34, 0.26, 0.18, 0.08, 0.14)
_OPEN_GROUND = frozenset({"soil", "stubble", "dry grass", "subsoil", "gravel", "rubble"})
_SNOW_MONTHS = frozenset({12, 1, 2})
_SNOW_LINE_M = 150.0


@dataclass(frozen=True, eq=False)
class Ground:
    """Everything about the site that does not depend on the date, in cells of `FINE_M`.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Centres of the cells, in metres from the site's corner (east, south).
    units : ndarray of uint16, shape (y, x)
        Codes of `CODES`, and one code for each field above those.
    covers : tuple of str
        Key of `COVERS` for each code.
    vigour, brightness, lag_days : ndarray of float64, shape (codes,)
        How each unit differs from the average of its cover.
    texture, rows, moisture, growth : ndarray of float32, shape (y, x)
        Noise of mean 0 and standard deviation 1: fine texture, stripes of field work, and two slow ones.
    elevation_m : ndarray of float32, shape (y, x)
        Height above the plain.
    slopes : ndarray of float32, shape (2, y, x)
        Rise per metre to the east and to the south.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    units: NDArray[np.uint16]
    covers: tuple[str, ...]
    vigour: NDArray[np.float64]
    brightness: NDArray[np.float64]
    lag_days: NDArray[np.float64]
    texture: NDArray[np.float32]
    rows: NDArray[np.float32]
    moisture: NDArray[np.float32]
    growth: NDArray[np.float32]
    elevation_m: NDArray[np.float32]
    slopes: NDArray[np.float32]

    def window(self, start_m: float, stop_m: float) -> Ground:
        """Return the part whose cells lie between two positions, the same on both axes."""
        keep = slice(*np.searchsorted(self.x, [start_m, stop_m]))
        part = {
            name: getattr(self, name)[keep, keep]
            for name in ("units", "texture", "rows", "moisture", "growth", "elevation_m")
        }
        return replace(self, x=self.x[keep], y=self.y[keep], slopes=self.slopes[:, keep, keep], **part)

    def burn(self, shapes: Iterable[BaseGeometry]) -> NDArray[np.bool_]:
        """Return True in the cells whose centre lies inside any of the shapes, shape (y, x)."""
        from affine import Affine
        from rasterio.features import rasterize

        pairs = [(shape, 1) for shape in shapes if not shape.is_empty]
        if not pairs:
            return np.zeros(self.units.shape, np.bool_)
        corner = Affine(FINE_M, 0, self.x[0] - FINE_M / 2, 0, FINE_M, self.y[0] - FINE_M / 2)
        burnt = rasterize(pairs, out_shape=self.units.shape, transform=corner, dtype=np.uint8)
        return np.asarray(burnt, np.bool_)


@dataclass(frozen=True, eq=False)
class View:
    """The ground on one day under one sun.

    Attributes
    ----------
    ground : Ground
        With `units` as they are on that day.
    green : ndarray of float64, shape (codes,)
        Share of green cover of each unit.
    direct : ndarray of float32, shape (y, x)
        Direct sunlight relative to flat ground; 0 in the shadow of a building.
    change : ndarray of float32, shape (y, x)
        Small random change of the surface since the other dates, as a factor.
    """

    ground: Ground
    green: NDArray[np.float64]
    direct: NDArray[np.float32]
    change: NDArray[np.float32]

    def is_cover(self, *names: str) -> NDArray[np.bool_]:
        """Return True where the ground has one of these covers, shape (y, x)."""
        wanted = np.array([name in names for name in self.ground.covers])
        return wanted[self.ground.units]

    def _per_cell(self, values: list[float]) -> NDArray[np.float64]:
        return np.asarray(values, np.float64)[self.ground.units]

    @cached_property
    def _kinds(self) -> list[Cover]:
        return [COVERS[cover] for cover in self.ground.covers]

    @cached_property
    def _green_share(self) -> NDArray[np.float64]:
        uneven = self._per_cell([0.16 if k.rows else 0.04 for k in self._kinds])
        return np.asarray(np.clip(self.green[self.ground.units] * (1 + uneven * self.ground.growth), 0, 1))

    @cached_property
    def _soil_tone(self) -> NDArray[np.float64]:
        uneven = self._per_cell([0.09 if k.bare in _OPEN_GROUND else 0.015 for k in self._kinds])
        tone = self.ground.brightness[self.ground.units] * (1 + uneven * self.ground.moisture)
        return np.asarray(tone, np.float64)

    @cached_property
    def _grain(self) -> NDArray[np.float64]:
        fine = self._per_cell([k.texture for k in self._kinds]) * self.ground.texture
        rows = self._per_cell([k.rows for k in self._kinds]) * self.ground.rows
        return np.asarray((1 + fine + rows) * self.change, np.float64)

    def reflectance(self, name: str) -> NDArray[np.float64]:
        """Return the reflectance (0..1) of the ground in one band, shape (y, x)."""
        index = COMPARED_BANDS.index(name)
        green = self._per_cell([SPECTRA[k.green][index] for k in self._kinds])
        soil = self._per_cell([SPECTRA[k.bare][index] for k in self._kinds]) * self._soil_tone
        surface = (soil + self._green_share * (green - soil)) * self._grain
        sky = diffuse_share(name)
        return np.asarray(np.maximum(surface * (sky + (1 - sky) * self.direct), 0.001), np.float64)


def make_ground(seed: int) -> Ground:
    """Return the whole site with its margin; the layout is fixed, the textures come from the seed.

    Parameters
    ----------
    seed : int
        Seed of everything random that does not depend on the date.

    Returns
    -------
    Ground
        Square, `SITE_M` plus `MARGIN_M` on each side.
    """
    axis = fine_axis()
    rng = np.random.default_rng([seed, 1])
    shape = (axis.size, axis.size)
    parcels, count = parcel_labels(axis)
    layout = np.random.default_rng(LAYOUT_SEED + 2)
    crops = [str(c) for c in layout.choice(_CROPS, size=count, p=_CROP_SHARES)]
    for special in _decoy_fields(parcels, axis):
        crops[special] = "winter wheat"
    units = (parcels + len(CODES)).astype(np.uint16)
    number = len(CODES) + count
    texture = 0.75 * fractal_noise(rng, shape, 24, 1.5, 1.6) + 0.65 * fractal_noise(rng, shape, 200, 3.0, 2.4)
    elevation = _elevation(axis)
    slope_south, slope_east = np.gradient(elevation, FINE_M)
    ground = Ground(
        x=axis, y=axis, units=units, covers=(*COVERS, *crops),
        vigour=np.clip(rng.normal(0.96, 0.05, number), 0.8, 1.05),
        brightness=np.r_[np.ones(len(CODES)), np.exp(rng.normal(0, 0.13, count))],
        lag_days=np.r_[np.zeros(len(CODES)), rng.normal(0, 5, count)],
        texture=np.clip(texture, -3, 3).astype(np.float32),
        rows=_field_rows(axis, rng),
        moisture=fractal_noise(rng, shape, 400, 4.0, 2.6).astype(np.float32),
        growth=fractal_noise(rng, shape, 160, 3.0, 2.4).astype(np.float32),
        elevation_m=elevation.astype(np.float32),
        slopes=np.stack([slope_east, slope_south]).astype(np.float32),
    )  # fmt: skip
    return replace(ground, units=_painted(ground))


def view_on(ground: Ground, day: date, sun: Sun, seed: int) -> View:
    """Return how the ground looks on a day: crops, buildings, happenings, snow, and shadows.

    Parameters
    ----------
    ground : Ground
        From `make_ground`, or a window of it.
    day : date
        The day of the acquisition.
    sun : Sun
        Where the sun stands then.
    seed : int
        Seed of what differs from date to date without being a change.
    """
    standing = [b for b in buildings() if b.start <= day < b.end]
    units = ground.units.copy()
    for building in standing:
        units[ground.burn([building.footprint])] = CODES[building.cover]
    for happening in (*events(), *decoys()):
        if happening.shows_on(day):
            where = ground.burn([happening.outline])
            if happening.cover == "snow":
                where &= ground.texture + 0.8 * ground.growth < 1.0
            units[where] = CODES[happening.cover]
    if day.month in _SNOW_MONTHS:
        units[ground.elevation_m + 14 * ground.growth > _SNOW_LINE_M] = CODES["snow"]
    shadows = [_shadow(b.footprint, sun.shadow_m(b.height_m)) for b in standing]
    shaded = ground.burn(shadows) & ~ground.burn([b.footprint for b in standing])
    rng = np.random.default_rng([seed, day.toordinal()])
    slow = fractal_noise(rng, ground.units.shape, 120, 4.0, 2.2)
    change = 1 + rng.normal(0, 0.012) + 0.022 * slow
    year = np.random.default_rng([seed, day.year])
    late = ground.lag_days + year.normal(0, 2.5, len(ground.covers))
    tilled = np.exp(year.normal(0, 0.06, len(ground.covers))) * ground.brightness
    days = float(day.timetuple().tm_yday)
    shares = [COVERS[c].phenology.green_share(days, lag) for c, lag in zip(ground.covers, late, strict=True)]
    return View(
        replace(ground, units=units, brightness=np.where(np.arange(tilled.size) < len(CODES), 1, tilled)),
        np.asarray(shares) * ground.vigour,
        np.where(shaded, 0, _direct_light(ground, sun)).astype(np.float32),
        change.astype(np.float32),
    )


def _shadow(footprint: BaseGeometry, offset_m: tuple[float, float]) -> BaseGeometry:
    from shapely.affinity import translate

    return shapely.unary_union([footprint, translate(footprint, *offset_m)]).convex_hull


def _direct_light(ground: Ground, sun: Sun) -> NDArray[np.float32]:
    east, north, up = sun.towards
    slope_east, slope_south = ground.slopes
    facing = up - slope_east * east + slope_south * north
    cosine = facing / np.sqrt(1 + slope_east**2 + slope_south**2)
    return np.asarray(np.maximum(cosine / up, 0), np.float32)


def _elevation(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(LAYOUT_SEED + 3)
    hills = ((2030, 560, 430, 250), (1640, 120, 300, 120), (2500, 1000, 260, 110), (620, 2440, 300, 105))
    height = np.zeros((axis.size, axis.size))
    for x, y, sigma, top in hills:
        height += top * np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma**2))
    ridges = fractal_noise(rng, height.shape, 180, 12.0, 3.6)
    return np.asarray(height * (1 + 0.15 * ridges), np.float64)


def _field_rows(axis: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    angle = np.deg2rad(FIELD_ANGLE_DEG)
    along = axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle)
    passes = rng.standard_normal(800)
    swath = np.floor((along + 1000) / 7.0).astype(np.intp)
    fade = np.clip(1 + 0.6 * fractal_noise(rng, along.shape, 120, 6.0, 2.0), 0, 2)
    return np.asarray(passes[swath % passes.size] * fade, np.float32)


def _decoy_fields(parcels: NDArray[np.intp], axis: NDArray[np.float64]) -> set[int]:
    found = set()
    for decoy in decoys():
        if decoy.kind in {"harvest", "flood"}:
            centre = decoy.outline.centroid
            found.add(int(parcels[np.searchsorted(axis, centre.y), np.searchsorted(axis, centre.x)]))
    return found


def _lines(*points: tuple[float, float], width_m: float) -> BaseGeometry:
    return shapely.LineString(points).buffer(width_m / 2, join_style="round")


def _wavy_line(axis: NDArray[np.float64]) -> BaseGeometry:
    south = np.arange(axis[0] - 50, axis[-1] + 50, 20.0)
    east = 330 + 105 * np.sin(south / 330) + 45 * np.sin(south / 127 + 1)
    return shapely.LineString(np.column_stack([east, south]))


def _painted(ground: Ground) -> NDArray[np.uint16]:
    units = ground.units.copy()
    river, span = _wavy_line(ground.y), SITE_M + 200
    edges = np.random.default_rng(LAYOUT_SEED + 4)
    ragged = fractal_noise(edges, units.shape, 60, 1.5, 1.9)
    patchy = fractal_noise(edges, units.shape, 200, 3.0, 2.4)
    forest = ground.elevation_m + 11 * ragged + 18 * patchy > 62
    pines = forest & (patchy + 0.3 * ragged > 0.45)
    woods = ground.burn([river.buffer(62)]) & (patchy + 0.4 * ragged > -0.2)
    lake = shapely.Point(2160, 2160).buffer(150)
    shore = lake.union(shapely.Point(2270, 2060).buffer(90)).union(shapely.Point(2080, 2300).buffer(80))
    roads = [
        _lines((-200, 1830), (500, 1760), (1200, 1420), (1800, 1400), (span, 1190), width_m=13),
        _lines((1235, -200), (1190, 500), (1080, 900), (1085, 1330), (1130, 1452), width_m=9),
        _lines((1300, 1412), (1420, 1900), (1700, span), width_m=8),
    ]
    drives = [turned_box(1290, 1140 - 12, (230, 9), 8), turned_box(1190, 1260, (9, 190), 8)]
    drives.append(_lines((1290, 1240), (1300, 1420), width_m=9))
    streets = [_lines((680, 1470 + 58 * i), (1190, 1512 + 58 * i), width_m=6) for i in range(5)]
    village = ground.burn([shapely.box(640, 1465, 1200, 1725).buffer(18)])
    layers: list[tuple[str, NDArray[np.bool_]]] = [
        ("broadleaf forest", forest),
        ("pine forest", pines),
        ("meadow", ground.burn([shore.buffer(50)])),
        ("meadow", village),
        ("broadleaf forest", village & (ragged > 1.0)),
        ("meadow", ground.burn([shapely.box(1085, 1025, 1490, 1345).buffer(12)])),
        (
            "gravel",
            ground.burn([turned_box(1270, 1160, (300, 230), 8), turned_box(1400, 1270, (110, 90), 8)]),
        ),
        ("broadleaf forest", woods),
        ("water", ground.burn([river.buffer(34), shore.buffer(20)])),
        ("asphalt", ground.burn([*roads, *drives])),
        ("gravel", ground.burn(streets)),
        ("gravel", ground.burn([turned_box(2040, 1590, (270, 140), 14)])),
        ("concrete", ground.burn([APRON, roads[0].intersection(river.buffer(45))])),
    ]
    for cover, where in layers:
        units[where] = CODES[cover]
    return units
