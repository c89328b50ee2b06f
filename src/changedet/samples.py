"""Simulated Sentinel-2 scenes of one invented site, with the truth about what changed there.

Real imagery is not redistributed with this package; these scenes stand in for it in the demonstration and
in tests. They look like Level-2A products: reflectance stored as integers with a scale and, from processing
baseline 04.00 on, an offset; a scene classification at 20 m; clouds, shadows, haze, noise and a sub-pixel
displacement. The place, the buildings and the events exist nowhere. The position on the map is arbitrary.

Examples
--------
>>> pair = simulate_pair(SceneSettings(size_px=128))
>>> pair.before.numbers["B04"].shape, pair.before.numbers["B11"].shape
((128, 128), (64, 64))
>>> len(pair.truth.events)
5
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from changedet.errors import UsageError
from changedet.simulator.atmosphere import Weather
from changedet.simulator.files import write_label_raster, write_scene, write_truth
from changedet.simulator.ground import Ground, make_ground
from changedet.simulator.scene import (
    CLOUD_CLASSES,
    CORNER_M,
    EPSG,
    Pass,
    SceneSettings,
    SimulatedScene,
    acquire,
    sky_of,
)
from changedet.simulator.scenery import MARGIN_M, SITE_M, Happening, decoys, events

if TYPE_CHECKING:
    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from changedet.progress import Progress

__all__ = [
    "SERIES_BANDS",
    "SceneSettings",
    "SimulatedPair",
    "SimulatedScene",
    "SimulatedSeries",
    "Truth",
    "make_pair",
    "simulate_pair",
    "simulate_series",
    "write_samples",
    "write_scene",
]

#: Bands of the committed time series.
SERIES_BANDS: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11")


@dataclass(frozen=True, eq=False)
class Truth:
    """What really happened, on the true ground.

    Attributes
    ----------
    labels : ndarray of uint8, shape (y, x)
        On the 10 m grid: 0, or the `id` of the event whose outline contains the pixel's centre.
    events : GeoDataFrame
        Columns ``id, name, kind, date, end_date, pixels, geometry``: what should be found. ``date`` is
        the first day it shows, ``end_date`` the first day it does not any more (empty while it lasts),
        ``kind`` a value of `changedet.kinds.KIND_LABELS`.
    decoys : GeoDataFrame
        The same columns: differences that should not be reported as construction.
    """

    labels: NDArray[np.uint8]
    events: gpd.GeoDataFrame
    decoys: gpd.GeoDataFrame


@dataclass(frozen=True, eq=False)
class SimulatedPair:
    """Two scenes of the same season, two years apart, and what happened between them."""

    before: SimulatedScene
    after: SimulatedScene
    truth: Truth
    settings: SceneSettings

    @property
    def shift_px(self) -> tuple[float, float]:
        """What `Registration.shift_px` ought to be with `before` as reference: (row, column)."""
        (row, column), (row_before, column_before) = self.after.shift_px, self.before.shift_px
        return row - row_before, column - column_before


@dataclass(frozen=True, eq=False)
class SimulatedSeries:
    """Scenes over two years, and what happened when."""

    scenes: tuple[SimulatedScene, ...]
    truth: Truth
    settings: SceneSettings


def simulate_pair(settings: SceneSettings | None = None) -> SimulatedPair:
    """Return two scenes of one site and the truth about what changed between them.

    The before scene lies exactly on the grid, so the truth is drawn on it as it is seen there.

    Parameters
    ----------
    settings : SceneSettings, optional
        By default the ones of the bundled samples.

    Returns
    -------
    SimulatedPair

    Examples
    --------
    >>> pair = simulate_pair(SceneSettings(size_px=128))
    >>> pair.shift_px
    (-0.62, 0.38)
    """
    settings = settings or SceneSettings()
    ground = _ground(settings)
    before_clouds = ((560.0, 330.0, 260.0), (2280.0, 1390.0, 120.0))
    after_clouds = ((500.0, 2280.0, 290.0), (2200.0, 260.0, 190.0))
    passes = (
        Pass(settings.before, Weather(haze=0.004, clouds=before_clouds), (0.0, 0.0)),
        Pass(settings.after, Weather(haze=0.011, clouds=after_clouds), settings.after_shift_px),
    )
    if not settings.clouds:
        passes = (_clear(passes[0]), _clear(passes[1]))
    before, after = (acquire(ground, one, settings) for one in passes)
    happened = [e for e in events() if e.shows_on(settings.before) != e.shows_on(settings.after)]
    misleading = [d for d in decoys() if d.shows_on(settings.before) != d.shows_on(settings.after)]
    for one in passes:
        misleading += _cloud_decoys(one, settings)
    return SimulatedPair(before, after, _truth(happened, misleading, settings), settings)


def simulate_series(settings: SceneSettings | None = None, *, dates: int = 24) -> SimulatedSeries:
    """Return scenes from the before to the after date, about half of them partly cloudy.

    Every scene has a displacement of its own, except the first, which lies exactly on the grid.

    Parameters
    ----------
    settings : SceneSettings, optional
        By default the ones of the bundled samples: 128 pixels, `SERIES_BANDS`.
    dates : int
        How many, 2 or more; the days are multiples of five after the first, as the satellites come.

    Returns
    -------
    SimulatedSeries

    Raises
    ------
    UsageError
        If there are fewer than 2 dates.
    """
    if dates < 2:
        raise UsageError(f"a series of {dates} dates", todo="ask for 2 dates or more")
    settings = settings or SceneSettings(size_px=128, bands=SERIES_BANDS)
    ground = _ground(settings)
    scenes = tuple(acquire(ground, one, settings) for one in _passes(settings, dates))
    last = scenes[-1].time.date()
    happened = [e for e in events() if settings.before < e.start <= last]
    truth = _truth(happened, [d for d in decoys() if d.start <= last], settings)
    return SimulatedSeries(scenes, truth, settings)


def make_pair(folder: str | Path, settings: SceneSettings | None = None) -> tuple[Path, Path, Path]:
    """Simulate the pair and write it as files.

    Files of the same names are replaced.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    settings : SceneSettings, optional
        By default the ones of the bundled samples.

    Returns
    -------
    tuple of Path
        Folder of the before scene, folder of the after scene, and the GeoJSON of the true events.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    folder = Path(folder)
    pair = simulate_pair(settings)
    before = write_scene(pair.before, folder / "before")
    after = write_scene(pair.after, folder / "after")
    write_label_raster(pair.truth, pair.before.grid, folder / "truth.tif")
    facts = {
        "shift_px": list(pair.shift_px),
        "shift_convention": "(row, column) to add to the position of the after scene's content",
        "scenes": [_facts(pair.before), _facts(pair.after)],
    }
    return before, after, write_truth(pair.truth, facts, pair.settings, folder)


def write_samples(folder: str | Path, *, progress: Progress | None = None) -> None:
    """Write the pair and the series of the bundled samples; the same bytes every time.

    Parameters
    ----------
    folder : str or Path
        Gets the folders ``pair`` and ``series``. Files of the same names are replaced.
    progress : Progress, optional
        Told about the two steps.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from changedet.progress import Silent

    folder, progress = Path(folder), progress or Silent()
    progress.step("pair")
    make_pair(folder / "pair")
    progress.step("series")
    series = simulate_series()
    for number, scene in enumerate(series.scenes, start=1):
        write_scene(scene, folder / "series" / f"{scene.time:%Y%m%d}")
        progress.advance(number / len(series.scenes))
    write_label_raster(series.truth, series.settings.grid, folder / "series" / "truth.tif")
    facts = {
        "shift_convention": "shift_px is (row, column) to add to the position of a scene's content",
        "scenes": [_facts(scene) for scene in series.scenes],
    }
    write_truth(series.truth, facts, series.settings, folder / "series")


def _facts(scene: SimulatedScene) -> dict[str, object]:
    cloudy = float(np.isin(scene.classes, CLOUD_CLASSES).mean())
    return {
        "id": scene.id,
        "time_utc": f"{scene.time:%Y-%m-%dT%H:%M:%SZ}",
        "processing_baseline": scene.baseline,
        "offset": scene.offset,
        "shift_px": [round(v, 4) for v in scene.shift_px],
        "cloud_or_shadow_share": round(cloudy, 3),
    }


def _clear(one: Pass) -> Pass:
    return replace(one, weather=Weather(haze=one.weather.haze))


def _ground(settings: SceneSettings) -> Ground:
    start = settings.corner_m
    return make_ground(settings.seed).window(start - MARGIN_M, SITE_M - start + MARGIN_M)


def _passes(settings: SceneSettings, dates: int) -> list[Pass]:
    rng = np.random.default_rng([settings.seed, 2])
    span = (settings.after - settings.before).days
    days = [settings.before + timedelta(days=round(span * i / (dates - 1) / 5) * 5) for i in range(dates)]
    cloudy = rng.permutation(dates) < round(0.45 * dates)
    found = []
    for index, day in enumerate(days):
        cover = float(rng.uniform(0.08, 0.6)) if cloudy[index] and settings.clouds else 0.0
        weather = Weather(float(rng.uniform(0.001, 0.012)), (), cover, float(rng.uniform(600, 1200)))
        row, column = np.round(rng.normal(0, 0.3, 2), 3)
        found.append(Pass(day, weather, (float(row), float(column)) if index else (0.0, 0.0)))
    return found


def _cloud_decoys(one: Pass, settings: SceneSettings) -> list[Happening]:
    import shapely
    from affine import Affine
    from rasterio.features import shapes

    sky, side = sky_of(one, settings), settings.size_px
    centres = np.asarray(settings.corner_m + (np.arange(side) + 0.5) * 10, np.float64)
    east, south = one.sun.shadow_m(one.weather.cloud_base_m)
    dimmed = np.maximum(
        sky.at(sky.opacity, centres, centres), sky.at(sky.opacity, centres - east, centres - south)
    )
    corner = Affine(10, 0, settings.corner_m, 0, 10, settings.corner_m)
    mask = (dimmed > 0.01).astype(np.uint8)
    found = [shapely.geometry.shape(s).buffer(20) for s, value in shapes(mask, transform=corner) if value]
    parts: list[BaseGeometry] = (
        list(shapely.get_parts(shapely.simplify(shapely.unary_union(found), 5))) if found else []
    )
    return [
        Happening("cloud or its shadow", "cloud", part, "", one.day, one.day + timedelta(days=1), decoy=True)
        for part in parts
    ]


def _on_map(shape: BaseGeometry) -> BaseGeometry:
    from shapely import affinity

    return affinity.affine_transform(shape, (1, 0, 0, -1, *CORNER_M))


def _frame(happenings: list[Happening], labels: NDArray[np.uint8]) -> gpd.GeoDataFrame:
    import geopandas as gpd

    columns = ["id", "name", "kind", "date", "end_date", "pixels", "geometry"]
    rows = [
        (i, h.name, h.kind, h.start.isoformat(), "" if h.end == date.max else h.end.isoformat(),
         int((labels == i).sum()), _on_map(h.outline))
        for i, h in enumerate(happenings, start=1)
    ]  # fmt: skip
    return gpd.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=f"EPSG:{EPSG}")


def _labels(happenings: list[Happening], grid: GeoBox) -> NDArray[np.uint8]:
    from rasterio.features import rasterize

    pairs = [(_on_map(h.outline), i) for i, h in enumerate(happenings, start=1)]
    shape = (grid.shape[0], grid.shape[1])
    if not pairs:
        return np.zeros(shape, np.uint8)
    return np.asarray(rasterize(pairs, out_shape=shape, transform=grid.transform, dtype=np.uint8), np.uint8)


def _truth(happened: list[Happening], misleading: list[Happening], settings: SceneSettings) -> Truth:
    import shapely

    grid = settings.grid
    start, stop = settings.corner_m, SITE_M - settings.corner_m
    inside = [d for d in misleading if d.outline.intersects(shapely.box(start, start, stop, stop))]
    labels = _labels(happened, grid)
    return Truth(labels, _frame(happened, labels), _frame(inside, _labels(inside, grid)))
