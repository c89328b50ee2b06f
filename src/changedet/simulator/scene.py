"""One simulated acquisition: what it depends on, how it is taken, and the numbers that come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import COMPARED_BANDS, REQUIRED_BANDS, band
from changedet.core.masking import SceneClass
from changedet.errors import UsageError
from changedet.simulator.atmosphere import (
    Sky,
    Sun,
    Weather,
    cloud_of_band,
    haze_of_band,
    make_sky,
    sampling_weights,
    sun_position,
)
from changedet.simulator.ground import Ground, View, view_on
from changedet.simulator.scenery import SITE_M

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.scene import Image

#: Coordinate reference system of every simulated file: UTM zone 52 north.
EPSG = 32652
#: North-west corner of the whole site, (east, north) in metres. Arbitrary: nothing there looks like this.
CORNER_M = (280000.0, 4240000.0)

_LATITUDE_DEG, _LONGITUDE_DEG = 38.27, 126.50
_OVERPASS = time(2, 16, 1, tzinfo=UTC)
_BASELINES = ((date(2022, 12, 6), "05.09"), (date(2022, 1, 25), "04.00"), (date.min, "03.00"))
#: Classes under which the ground cannot be judged.
CLOUD_CLASSES = (
    SceneClass.CLOUD_SHADOW,
    SceneClass.CLOUD_MEDIUM,
    SceneClass.CLOUD_HIGH,
    SceneClass.THIN_CIRRUS,
)


@dataclass(frozen=True)
class SceneSettings:
    """What a simulation depends on; equal settings give equal numbers.

    Attributes
    ----------
    seed : int
        Seed of textures, weather and noise. The layout of the site does not depend on it.
    size_px : int
        Side of the scene in 10 m pixels, 128 to 256 and a multiple of 4; smaller scenes show the middle.
    bands : tuple of str
        Bands to make, of `COMPARED_BANDS`; blue, green, red and near infrared must be among them.
    before, after : date
        The dates of the pair. The events lie between 2021-07-25 and 2022-10-05; the truth
        holds those that one date shows and the other does not.
    after_shift_px : tuple of float
        (row, column) displacement of the after scene; sign as in `SimulatedScene.shift_px`.
    psf_px : float
        Standard deviation of the point spread function in pixels of the band.
    noise : tuple of float
        Standard deviation of the sensor noise: a constant part, and one relative to the reflectance.
    clouds : bool
        False leaves out all clouds.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    seed: int = 20
    size_px: int = 256
    bands: tuple[str, ...] = COMPARED_BANDS
    before: date = date(2021, 5, 21)
    after: date = date(2023, 5, 21)
    after_shift_px: tuple[float, float] = (-0.62, 0.38)
    psf_px: float = 0.5
    noise: tuple[float, float] = (0.0010, 0.004)
    clouds: bool = True

    def __post_init__(self) -> None:
        if not 128 <= self.size_px <= round(SITE_M / 10) or self.size_px % 4:
            raise UsageError(f"size_px is {self.size_px}", todo="choose a multiple of 4 from 128 to 256")
        strange = [b for b in self.bands if b not in COMPARED_BANDS]
        lacking = [b for b in REQUIRED_BANDS if b not in self.bands]
        if strange or lacking:
            what = f"bands cannot be simulated ({', '.join(strange) or 'missing ' + ', '.join(lacking)})"
            raise UsageError(
                what, todo=f"choose from {', '.join(COMPARED_BANDS)} and keep B02, B03, B04, B08"
            )
        if self.before >= self.after:
            raise UsageError("before is not earlier than after", todo="exchange the two dates")
        if max(abs(v) for v in self.after_shift_px) > 4:
            raise UsageError("after_shift_px is more than 4 pixels", todo="choose a smaller displacement")

    @property
    def corner_m(self) -> float:
        """Distance of the scene's corner from that of the whole site, in metres, the same on both axes."""
        return (SITE_M - 10 * self.size_px) / 2

    @property
    def grid(self) -> GeoBox:
        """The 10 m grid of the scene."""
        from odc.geo.geobox import GeoBox

        left, top = CORNER_M[0] + self.corner_m, CORNER_M[1] - self.corner_m
        side = 10.0 * self.size_px
        return GeoBox.from_bbox(
            (left, top - side, left + side, top), f"EPSG:{EPSG}", resolution=10, tight=True
        )


@dataclass(frozen=True, eq=False)
class SimulatedScene:
    """One simulated acquisition.

    Attributes
    ----------
    time : datetime
        Acquisition time, UTC.
    numbers : mapping of str to ndarray of uint16, shape (y, x)
        Stored numbers of each band at its own resolution; 0 is no data.
    classes : ndarray of uint8, shape (y, x) at 20 m
        Scene classification, codes of `SceneClass`.
    grid : GeoBox
        The 10 m grid.
    sun : Sun
        Where the sun stood.
    baseline : str
        Processing baseline.
    shift_px : tuple of float
        (row, column) in 10 m pixels that has to be added to the position of a feature in this scene to bring
        it onto its true place on the grid (the convention of `changedet.registration.Registration`
        with the true ground as the reference).
    """

    time: datetime
    numbers: Mapping[str, NDArray[np.uint16]]
    classes: NDArray[np.uint8]
    grid: GeoBox
    sun: Sun
    baseline: str
    shift_px: tuple[float, float]

    @property
    def offset(self) -> float:
        """Reflectance to add after scaling: 0 before processing baseline 04.00, -0.1 from then on."""
        return -0.1 if self.baseline >= "04.00" else 0.0

    @property
    def stem(self) -> str:
        """What the names of the scene's files begin with, e.g. ``"T52SBH_20210521T021601"``."""
        return f"T52SBH_{self.time:%Y%m%dT%H%M%S}"

    @property
    def id(self) -> str:
        """Identifier of the scene; it begins with ``SIMULATED``."""
        return f"SIMULATED_MSIL2A_{self.time:%Y%m%dT%H%M%S}_N{self.baseline.replace('.', '')}_R003_T52SBH"

    def reflectance(self, name: str) -> NDArray[np.float32]:
        """Return one band as reflectance at its own resolution, float32, shape (y, x)."""
        return (self.numbers[name].astype(np.float32) * np.float32(1e-4) + np.float32(self.offset)).astype(
            np.float32
        )

    def to_image(self) -> Image:
        """Return the scene as a loaded `Image` on the 10 m grid; 20 m cells are repeated."""
        from changedet.scene import Image, Scene

        def _fine(values: NDArray[np.generic]) -> NDArray[np.generic]:
            times = self.grid.shape[0] // values.shape[0]
            return np.repeat(np.repeat(values, times, axis=0), times, axis=1)

        data = np.stack([_fine(self.reflectance(b)) for b in self.numbers]).astype(np.float32)
        classes = _fine(self.classes).astype(np.uint8)
        scene = Scene(
            id=self.id, provider="simulated", level="L2A", platform="simulated", time=self.time,
            time_source="simulation", processing_baseline=self.baseline, relative_orbit=3, tile="T52SBH",
            sun_elevation_deg=self.sun.elevation_deg, sun_azimuth_deg=self.sun.azimuth_deg, simulated=True,
        )  # fmt: skip
        valid = ~np.isin(classes, CLOUD_CLASSES)
        return Image(data, tuple(self.numbers), valid, classes, self.grid, scene, "SCL")


@dataclass(frozen=True)
class Pass:
    """When and under what weather a scene is taken, and how far it is displaced."""

    day: date
    weather: Weather
    shift_px: tuple[float, float]

    @property
    def time(self) -> datetime:
        """Time of the acquisition, UTC."""
        return datetime.combine(self.day, _OVERPASS)

    @property
    def baseline(self) -> str:
        """Processing baseline of that time."""
        return next(name for since, name in _BASELINES if self.day >= since)

    @cached_property
    def sun(self) -> Sun:
        """Where the sun stands."""
        return sun_position(self.time, _LATITUDE_DEG, _LONGITUDE_DEG)


def sky_of(one: Pass, settings: SceneSettings) -> Sky:
    """Return the clouds of an acquisition."""
    return make_sky(one.weather, np.random.default_rng([settings.seed, 3, one.day.toordinal()]))


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the sensor looks through at the pixels of one resolution."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    cloud: NDArray[np.float64]
    tops: NDArray[np.float64]
    shadow: NDArray[np.float64]

    def sample(self, fine: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a fine layer as the sensor sees it, before clouds."""
        return np.asarray(self.rows @ fine @ self.columns.T, np.float64)


def _seen(ground: Ground, one: Pass, sky: Sky, settings: SceneSettings, pixel_m: int) -> _Seen:
    count = settings.size_px * 10 // pixel_m
    centres = settings.corner_m + (np.arange(count, dtype=np.float64) + 0.5) * pixel_m
    y, x = (np.asarray(centres + 10 * shift, np.float64) for shift in one.shift_px)
    east, south = one.sun.shadow_m(one.weather.cloud_base_m)
    sigma = settings.psf_px * pixel_m
    return _Seen(
        sampling_weights(ground.y, y, sigma),
        sampling_weights(ground.x, x, sigma),
        sky.at(sky.opacity, x, y),
        sky.at(sky.brightness, x, y),
        sky.at(sky.opacity, x - east, y - south),
    )


def acquire(ground: Ground, one: Pass, settings: SceneSettings) -> SimulatedScene:
    """Take a scene: light on the ground, clouds, haze, optics, displacement, noise, stored numbers.

    Parameters
    ----------
    ground : Ground
        The site, or the window of it that the settings ask for.
    one : Pass
        When, under what weather, how far displaced.
    settings : SceneSettings
        Bands, size, optics and noise.
    """
    view, sky = view_on(ground, one.day, one.sun, settings.seed), sky_of(one, settings)
    seen = {pixel_m: _seen(ground, one, sky, settings, pixel_m) for pixel_m in (10, 20)}
    scene = SimulatedScene(
        one.time, {}, _classify(view, seen[20]), settings.grid, one.sun, one.baseline, one.shift_px
    )
    rng = np.random.default_rng([settings.seed, 4, one.day.toordinal()])
    gain = 1 + rng.normal(0, 0.012)
    numbers = {}
    for name in settings.bands:
        here = seen[band(name).resolution_m]
        surface = gain * here.sample(view.reflectance(name)) * (1 - 0.62 * here.shadow)
        value = surface * (1 - here.cloud) + here.tops * cloud_of_band(name) * here.cloud
        value += haze_of_band(one.weather.haze, name) * (1 - here.cloud)
        constant, relative = settings.noise
        value += rng.standard_normal(value.shape) * (constant + relative * value)
        numbers[name] = np.clip(np.rint((value - scene.offset) * 1e4), 1, 65534).astype(np.uint16)
    return replace(scene, numbers=numbers)


def _classify(view: View, seen: _Seen) -> NDArray[np.uint8]:
    red, infrared = (seen.sample(view.reflectance(b)) for b in ("B04", "B08"))
    greenness = (infrared - red) / (infrared + red)
    classes = np.full(red.shape, SceneClass.BARE, np.uint8)
    classes[greenness > 0.4] = SceneClass.VEGETATION
    classes[(greenness > 0.28) & (greenness <= 0.4)] = SceneClass.UNCLASSIFIED
    covers = ((("water", "flooded field"), SceneClass.WATER), (("snow",), SceneClass.SNOW))
    for names, code in covers:
        classes[seen.sample(view.is_cover(*names).astype(np.float64)) > 0.5] = code
    classes[seen.shadow > 0.22] = SceneClass.CLOUD_SHADOW
    for least, code in (
        (0.07, SceneClass.THIN_CIRRUS),
        (0.25, SceneClass.CLOUD_MEDIUM),
        (0.65, SceneClass.CLOUD_HIGH),
    ):
        classes[seen.cloud > least] = code
    return classes
