"""Many small sites in one tile, seen every few days for years: what happens at each, and scenes that show it.

Every other site gets a building that stays; at the others one stands for three weeks. Everywhere a field is
harvested, some weeks earlier or later each year, snow lies on some days of winter, clouds hide single sites,
and some clouds are missed by the classification.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from tests.watch.simulated import BUILT, CLOUD, GREEN, PAVED, SNOW, SOIL
from tests.world.granules import QUICK_CORNER_M, Granule, whole

from changedet.providers.base import Estimate
from changedet.scene import Image, Scene
from changedet.simulator.atmosphere import sun_position
from changedet.simulator.scene import EPSG, SimulatedScene
from changedet.timeline.access import SERIES_BANDS

#: Bands of half as many rows and columns.
TWENTY_METRE = ("B11", "B12")
#: Pixels of the square round each site, of the site itself, and squares in a row.
CELL_PX, SITE_PX, IN_A_ROW = 32, 20, 8
RADIUS_M = 5 * SITE_PX
#: Grounds of a square: rows, columns.
YARD, FIELD, MISSED = np.s_[7:12, 7:12], np.s_[18:26, 7:26], np.s_[16:24, 12:22]
CLOUDY, MISSED_SHARE, SNOWY = 0.45, 0.08, 0.5
STAYS_DAYS = 21


@dataclass(frozen=True)
class Story:
    """What happens at a site.

    `built` is the first moment of a building, `gone` the moment from which it is away again (None: it stays),
    `ground` its rows and columns, `paved` whether it is dark; `harvest` the first and the last day of each
    year without plants.
    """

    number: int
    built: datetime
    gone: datetime | None
    ground: tuple[slice, slice]
    paved: bool
    harvest: dict[int, tuple[int, int]]

    @property
    def name(self) -> str:
        """Of the site."""
        return f"Site {self.number:02d}"

    @property
    def area_m2(self) -> float:
        """Of the building."""
        return (
            100.0
            * (self.ground[0].stop - self.ground[0].start)
            * (self.ground[1].stop - self.ground[1].start)
        )

    @property
    def place(self) -> tuple[float, float]:
        """Longitude and latitude of the middle of the building."""
        corner = [part.start for part in square(self)]
        return to_degrees(*(first + (part.start + part.stop) / 2
                            for first, part in zip(corner, self.ground, strict=True)))  # fmt: skip

    def stands(self, when: datetime) -> bool:
        """Whether the building can be seen."""
        return self.built <= when and (self.gone is None or when < self.gone)


def story(number: int, since: date) -> Story:
    """What happens at a site in the year that begins with `since`."""
    rng = np.random.default_rng([7, number])
    rows, columns = int(rng.integers(3, 7)), int(rng.integers(4, 9))
    begin = datetime(since.year, since.month, since.day, tzinfo=UTC)
    stays = number % 2 == 0
    built = begin + timedelta(days=int(rng.integers(4, 160)))
    moved = {year: int(rng.integers(-8, 9)) for year in range(since.year - 3, since.year + 2)}
    return Story(
        number, built, None if stays else built + timedelta(days=STAYS_DAYS),
        (slice(8, 8 + rows), slice(14, 14 + columns)), stays and number % 4 == 0,
        {year: (195 + days, 255 + days) for year, days in moved.items()},
    )  # fmt: skip


def scenes(stories: list[Story], days: list[date]) -> list[Granule]:
    """One granule for each day, with all sites in it."""
    side = CELL_PX * IN_A_ROW
    texture = np.random.default_rng(9).uniform(0.9, 1.1, (side, side)).astype(np.float32)
    return [_granule(stories, day, texture) for day in days]


def _granule(stories: list[Story], day: date, texture: np.ndarray) -> Granule:
    when = datetime(day.year, day.month, day.day, 2, 16, 1, tzinfo=UTC)
    shape, numbers = texture.shape, {}
    spectra = np.empty((len(SERIES_BANDS), *shape), np.float32)
    classes = np.full(shape, 4, np.uint8)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 200) / 365.25)
    for plane, name in zip(spectra, SERIES_BANDS, strict=True):
        plane[:] = GREEN[name] * (0.8 + 0.4 * wave * (name == "B08"))
    for one in stories:
        _paint(one, when, spectra[(slice(None), *square(one))], classes[square(one)])
    noise = np.random.default_rng(day.toordinal()).standard_normal(spectra.shape, np.float32)
    spectra *= texture * (1 + 0.02 * noise)
    for plane, name in zip(spectra, SERIES_BANDS, strict=True):
        coarse = plane.reshape(shape[0] // 2, 2, shape[1] // 2, 2).mean((1, 3)) if name == "B11" else plane
        numbers[name] = np.rint(coarse * 1e4 + 1000).astype(np.uint16)
    left, top = QUICK_CORNER_M
    box = (left, top - 10 * shape[0], left + 10 * shape[1], top)
    grid = GeoBox.from_bbox(box, f"EPSG:{EPSG}", resolution=10, tight=True)
    scene = SimulatedScene(
        when, numbers, classes[::2, ::2].copy(), grid, sun_position(when, 38.27, 126.5), "05.09", (0.0, 0.0)
    )
    return whole(scene, cloud_cover=40.0)


def _paint(one: Story, when: datetime, spectra: np.ndarray, classes: np.ndarray) -> None:
    """Show one site on one date; what comes later lies above."""
    rng = np.random.default_rng([one.number, when.toordinal()])
    cloudy, missed, snowy = rng.random(3) < (CLOUDY, MISSED_SHARE, SNOWY)
    first, last = one.harvest.get(when.year, (400, 400))
    layers = [(YARD, PAVED, 4, True), (FIELD, SOIL, 4, first <= when.timetuple().tm_yday <= last),
              (one.ground, PAVED if one.paved else BUILT, 4, one.stands(when)),
              (np.s_[:, :], SNOW, 11, snowy and when.month in {1, 2}), (MISSED, CLOUD, 4, missed),
              (np.s_[:, :], CLOUD, 9, cloudy)]  # fmt: skip
    for ground, spectrum, code, seen in layers:
        if seen:
            for plane, name in zip(spectra, SERIES_BANDS, strict=True):
                plane[ground] = spectrum[name]
            classes[ground] = code


def square(one: Story) -> tuple[slice, slice]:
    """Rows and columns of a site with what is round it."""
    row, column = (CELL_PX * number for number in divmod(one.number, IN_A_ROW))
    return slice(row, row + CELL_PX), slice(column, column + CELL_PX)


def to_degrees(row: float, column: float) -> tuple[float, float]:
    """Longitude and latitude of a place in the tile, in pixels."""
    to_lonlat = Transformer.from_crs(f"EPSG:{EPSG}", "EPSG:4326", always_xy=True).transform
    lon, lat = to_lonlat(QUICK_CORNER_M[0] + 10 * column, QUICK_CORNER_M[1] - 10 * row)
    return float(lon), float(lat)


def sites_csv(stories: list[Story]) -> str:
    """The list of the sites, as an analyst writes it."""
    lines = ["name,at,radius"]
    for one in stories:
        lon, lat = to_degrees(*((part.start + part.stop) / 2 for part in square(one)))
        lines.append(f'{one.name},"{lat:.6f}, {lon:.6f}",{RADIUS_M}m')
    return "\n".join(lines) + "\n"


@dataclass
class ManySitesProvider:
    """The same scenes without sockets and files."""

    granules: list[Granule]
    name: str = "simulated"
    info: object = None

    def search(self, query):
        times = [one.scene.time for one in self.granules if query.start <= one.scene.time <= query.end]
        return [
            Scene(f"{time:%Y%m%d}", self.name, "L2A", "Sentinel-2A", time, simulated=True) for time in times
        ]

    def estimate(self, scene, grid, bands):
        return Estimate()

    def classes(self, scene, grid):
        step = round(abs(grid.transform.a) / 10)
        return _cut(np.kron(self._of(scene).classes, np.ones((2, 2), np.uint8)), grid, 0, step)

    def load(self, scene, grid, bands=SERIES_BANDS, **_more):
        taken = self._of(scene)
        classes = _cut(np.kron(taken.classes, np.ones((2, 2), np.uint8)), grid, 0, 1)
        data = np.empty((len(bands), *classes.shape), np.float32)
        for plane, name in zip(data, bands, strict=True):
            values = taken.reflectance(name)
            times = 2 if name in TWENTY_METRE else 1
            plane[:] = _cut(values.repeat(times, 0).repeat(times, 1), grid, np.nan, 1)
        return Image(data, tuple(bands), (classes > 3) & (classes < 8), classes, grid, scene, "SCL")

    def _of(self, scene):
        return next(one.scene for one in self.granules if one.scene.time == scene.time)


def _cut(values, grid, fill, step):
    """Every so many-th pixel of the tile as a grid shows it; what lies outside is empty."""
    row = round((QUICK_CORNER_M[1] - grid.transform.f) / 10)
    column = round((grid.transform.c - QUICK_CORNER_M[0]) / 10)
    places = [start + step * np.arange(size) for start, size in zip((row, column), grid.shape, strict=True)]
    inside = [(place >= 0) & (place < side) for place, side in zip(places, values.shape, strict=True)]
    out = np.full(tuple(grid.shape), fill, values.dtype)
    out[np.ix_(*inside)] = values[np.ix_(*(place[here] for place, here in zip(places, inside, strict=True)))]
    return out
