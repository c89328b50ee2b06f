"""What the archives hold: granules of simulated scenes, and the awkward cases among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from changedet.bands import COMPARED_BANDS, band
from changedet.simulator.atmosphere import sun_position
from changedet.simulator.scene import EPSG, SimulatedScene

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

#: Corner of the quick scenes: multiples of 20 m, as all real tiles.
QUICK_CORNER_M = (281000.0, 4239000.0)
#: How long before each optical pass the radar comes.
RADAR_EARLIER = timedelta(hours=4, minutes=42)
#: Slices of one radar pass follow each other by this.
RADAR_SLICE = timedelta(seconds=25)
#: Relative orbit of the radar.
RADAR_ORBIT = 127
#: Absolute orbit less relative one, modulo 175, by satellite.
_BEFORE_FIRST_ORBIT = {"A": 72, "B": 26, "C": 171}


@dataclass(frozen=True, eq=False)
class Pass(SimulatedScene):
    """One pass of radar by itself: linear gamma0 by polarisation on the grid, and which track and satellite.

    In a world with passes nothing else is radar; `grid` and `classes` are those of the optical scenes.
    """

    power: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    orbit: int = RADAR_ORBIT
    orbit_state: str = "descending"
    unit: str = "A"


@dataclass(frozen=True, eq=False)
class Granule:
    """One product of one tile.

    `covers` is (top, bottom, left, right) of the part that has data, as shares of the scene; 0 and 1 reach on
    to the edge of the granule. `cloud_cover`
    (per cent) replaces the scene's own; `offset_flag` replaces what Earth Search's older collection says
    about its pixels, which are shifted whatever it says; `lacks` names bands without an asset. `hills` is a
    part like `covers` whose west half lies in radar shadow and whose east half lies in layover.
    """

    scene: SimulatedScene
    baseline: str
    datastrip_start: datetime
    generated: datetime
    sequence: int = 0
    covers: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    epsg: int = EPSG
    tile: str = "52SBH"
    cloud_cover: float | None = None
    offset_flag: bool | None = None
    lacks: tuple[str, ...] = ()
    hills: tuple[float, float, float, float] | None = None

    @property
    def stored_offset(self) -> int:
        """What this baseline adds to reflectance * 10000 before storing."""
        return 1000 if self.baseline >= "04.00" else 0

    @property
    def product(self) -> str:
        """Name of the product, without ``.SAFE``."""
        return (
            f"{self.platform}_MSIL2A_{self.scene.time:%Y%m%dT%H%M%S}_N{self.baseline.replace('.', '')}"
            f"_R003_T{self.tile}_{self.generated:%Y%m%dT%H%M%S}"
        )

    @property
    def platform(self) -> str:
        """``S2A`` or ``S2B``: they take turns every five days."""
        return "S2A" if self.scene.time.toordinal() // 5 % 2 else "S2B"

    @property
    def datastrip(self) -> str:
        """Identifier of the datastrip."""
        generated, start = f"{self.generated:%Y%m%dT%H%M%S}", f"{self.datastrip_start:%Y%m%dT%H%M%S}"
        return f"{self.platform}_OPER_MSI_L2A_DS_2BPS_{generated}_S{start}_N{self.baseline}"


def whole(scene: SimulatedScene, **changes: object) -> Granule:
    """The usual case: one granule with data everywhere."""
    start, generated = (
        scene.time + timedelta(minutes=5, seconds=7),
        scene.time + timedelta(hours=3, seconds=11),
    )
    usual = Granule(scene, scene.baseline, start, generated, epsg=scene.grid.crs.to_epsg())
    return replace(usual, **changes)  # type: ignore[arg-type]


def radar_slices(granules: Iterable[Granule]) -> tuple[Granule, ...]:
    """What the radar saw: one pass before each optical one, in slices where that one has several parts."""
    granules = tuple(granules)
    passes = tuple(granule for granule in granules if isinstance(granule.scene, Pass))
    if passes:
        return passes
    found: dict[tuple[datetime, tuple[float, ...]], Granule] = {}
    for granule in sorted(granules, key=lambda g: g.scene.time):
        scene = granule.scene
        number = sum(when == scene.time for when, _ in found)
        part = whole(scene, covers=granule.covers, hills=granule.hills, sequence=number)
        found.setdefault((scene.time, granule.covers), part)
    return tuple(found.values())


def optical_granules(granules: Iterable[Granule]) -> tuple[Granule, ...]:
    """All that are not a pass of radar by itself."""
    return tuple(granule for granule in granules if not isinstance(granule.scene, Pass))


def radar_track(part: Granule) -> tuple[int, str, str]:
    """Relative orbit, direction and unit of a radar slice."""
    scene = part.scene
    if isinstance(scene, Pass):
        return scene.orbit, scene.orbit_state, scene.unit
    return RADAR_ORBIT, "descending", "A"


def radar_start(part: Granule) -> datetime:
    """When a radar slice begins."""
    if isinstance(part.scene, Pass):
        return part.scene.time
    return part.scene.time - RADAR_EARLIER + part.sequence * RADAR_SLICE


def radar_product(part: Granule) -> str:
    """Name of the product of a radar slice, without its last four digits."""
    start = radar_start(part)
    span = f"{start:%Y%m%dT%H%M%S}_{start + RADAR_SLICE:%Y%m%dT%H%M%S}"
    return f"S1{radar_track(part)[2]}_IW_GRDH_1SDV_{span}_{revolution(part):06d}_0478DC"


def revolution(part: Granule) -> int:
    """Absolute orbit of a radar slice; a satellite repeats its track after 175."""
    orbit, _, unit = radar_track(part)
    return _BEFORE_FIRST_ORBIT[unit] + orbit + 175 * (part.scene.time.toordinal() % 400)


def split(scene: SimulatedScene) -> tuple[Granule, Granule]:
    """One acquisition cut in two products of the same tile: same time, other datastrip; to be mosaicked."""
    north = whole(scene, covers=(0.0, 0.55, 0.0, 1.0))
    south = whole(scene, covers=(0.45, 1.0, 0.0, 1.0), sequence=1,
                  datastrip_start=north.datastrip_start + timedelta(minutes=12, seconds=38),
                  generated=north.generated + timedelta(minutes=44))  # fmt: skip
    return north, south


def reprocessed(scene: SimulatedScene, baseline: str = "05.10") -> tuple[Granule, Granule]:
    """One acquisition processed twice: same datastrip start; the second is to be used."""
    first = whole(scene)
    return first, replace(
        first, baseline=baseline, sequence=1, generated=datetime(2024, 3, 5, 7, 9, 1, tzinfo=UTC)
    )


def across_zones(scene: SimulatedScene) -> tuple[Granule, Granule]:
    """East in the scene's own UTM zone, west in the tile of the zone next to it; they overlap a little."""
    east = whole(scene, covers=(0.0, 1.0, 0.48, 1.0))
    return east, replace(east, covers=(0.0, 1.0, 0.0, 0.55), epsg=32651, tile="51SZC")


def quick_scene(
    day: date = date(2023, 5, 16),
    *,
    size_px: int = 64,
    baseline: str = "05.09",
    seed: int = 0,
    bands: tuple[str, ...] = COMPARED_BANDS,
) -> SimulatedScene:
    """A scene in no time: smooth textured reflectance of 0.02 to 0.6 and a square cloud in the north-west."""
    rng = np.random.default_rng([seed, day.toordinal()])
    when = datetime.combine(day, time(2, 16, 1, tzinfo=UTC))
    offset = 1000 if baseline >= "04.00" else 0
    numbers = {}
    for index, name in enumerate(bands):
        step = band(name).resolution_m
        y, x = (np.mgrid[: size_px * 10 // step, : size_px * 10 // step] + 0.5) * step
        texture = np.sin(x / 95 + index) * np.cos(y / 70 + seed) + 0.2 * rng.standard_normal(x.shape)
        numbers[name] = np.rint(1200 + 250 * index + 350 * texture + offset).astype(np.uint16)
    classes = np.full((size_px // 2, size_px // 2), 4, np.uint8)
    classes[: size_px // 8, : size_px // 8] = 9
    left, top = QUICK_CORNER_M
    box = (left, top - 10 * size_px, left + 10 * size_px, top)
    grid = GeoBox.from_bbox(box, f"EPSG:{EPSG}", resolution=10, tight=True)
    return SimulatedScene(
        when, numbers, classes, grid, sun_position(when, 38.27, 126.5), baseline, (0.0, 0.0)
    )
