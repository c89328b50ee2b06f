"""The ground of the simulated site: materials, fields, buildings, terrain, and what happens there when.

Everything here is invented. Positions are in metres from the north-west corner of the site, ``x`` to
the east and ``y`` to the south. The reflectances were set by hand within the range that published
libraries show for such materials (Meerdink et al. 2019, https://doi.org/10.1016/j.rse.2019.05.015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely import affinity

from changedet.kinds import KIND_LABELS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

#: Side of the whole site in metres.
SITE_M = 2560.0
#: Side of a cell of the label raster from which the images are sampled, in metres.
FINE_M = 2.5
#: Ground kept around the site so that a displaced image still sees something, in metres.
MARGIN_M = 80.0

#: How far the fields are turned against the grid, clockwise.
FIELD_ANGLE_DEG = 14.0
#: Seed of the layout, which is the same in every simulation.
LAYOUT_SEED = 52

#: Surface reflectance (0..1) of each material in the order of `COMPARED_BANDS`.
SPECTRA: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "green crop": (0.030, 0.062, 0.034, 0.085, 0.270, 0.350, 0.385, 0.415, 0.200, 0.100),
        "soil": (0.078, 0.106, 0.138, 0.156, 0.176, 0.190, 0.206, 0.222, 0.290, 0.250),
        "stubble": (0.088, 0.128, 0.168, 0.198, 0.240, 0.258, 0.282, 0.300, 0.350, 0.260),
        "broadleaf": (0.024, 0.045, 0.026, 0.070, 0.235, 0.300, 0.330, 0.350, 0.160, 0.074),
        "bare branches": (0.042, 0.058, 0.068, 0.086, 0.118, 0.140, 0.160, 0.180, 0.215, 0.145),
        "needles": (0.021, 0.035, 0.024, 0.052, 0.150, 0.190, 0.212, 0.226, 0.108, 0.054),
        "green grass": (0.036, 0.068, 0.050, 0.098, 0.235, 0.285, 0.310, 0.330, 0.235, 0.138),
        "dry grass": (0.064, 0.090, 0.108, 0.135, 0.185, 0.205, 0.228, 0.246, 0.300, 0.215),
        "water": (0.046, 0.052, 0.037, 0.033, 0.022, 0.020, 0.017, 0.014, 0.006, 0.004),
        "muddy water": (0.066, 0.086, 0.080, 0.074, 0.062, 0.058, 0.052, 0.046, 0.022, 0.016),
        "concrete": (0.215, 0.248, 0.272, 0.282, 0.292, 0.298, 0.306, 0.312, 0.330, 0.310),
        "asphalt": (0.086, 0.096, 0.105, 0.110, 0.116, 0.120, 0.124, 0.128, 0.148, 0.142),
        "fresh asphalt": (0.050, 0.054, 0.058, 0.061, 0.064, 0.066, 0.069, 0.072, 0.086, 0.082),
        "gravel": (0.122, 0.152, 0.178, 0.190, 0.202, 0.212, 0.222, 0.232, 0.276, 0.256),
        "subsoil": (0.088, 0.128, 0.186, 0.212, 0.236, 0.252, 0.272, 0.290, 0.388, 0.350),
        "rubble": (0.150, 0.178, 0.202, 0.213, 0.224, 0.232, 0.242, 0.250, 0.288, 0.276),
        "blue metal": (0.250, 0.186, 0.116, 0.118, 0.150, 0.196, 0.240, 0.262, 0.320, 0.276),
        "red tile": (0.056, 0.074, 0.142, 0.184, 0.222, 0.242, 0.262, 0.278, 0.332, 0.312),
        "white metal": (0.350, 0.372, 0.382, 0.386, 0.392, 0.396, 0.400, 0.402, 0.376, 0.340),
        "grey roof": (0.126, 0.138, 0.148, 0.153, 0.158, 0.163, 0.168, 0.173, 0.196, 0.188),
        "snow": (0.840, 0.850, 0.842, 0.830, 0.815, 0.800, 0.780, 0.750, 0.100, 0.070),
    }
)


@dataclass(frozen=True)
class Phenology:
    """Green cover over the year as one wave of two logistic curves (after Beck et al. 2006).

    Source: https://doi.org/10.1016/j.rse.2005.10.021

    Attributes
    ----------
    floor, peak : float
        Smallest and largest share of green cover, 0..1.
    rise_day, fall_day : float
        Days of the year at half height; `fall_day` may exceed 365 for a crop that stands over winter.
    rise_days, fall_days : float
        How long the rise and the fall take: the scale of the logistic curve, in days.
    """

    floor: float = 0.0
    peak: float = 0.0
    rise_day: float = 120.0
    fall_day: float = 270.0
    rise_days: float = 9.0
    fall_days: float = 12.0

    def green_share(self, day_of_year: float, lag_days: float = 0.0) -> float:
        """Return the share of green cover (0..1) on a day of the year.

        Parameters
        ----------
        day_of_year : float
            1 for 1 January.
        lag_days : float
            Positive where everything comes later than usual.

        Examples
        --------
        >>> wheat = Phenology(0.05, 0.9, rise_day=440, fall_day=526, fall_days=4)
        >>> wheat.green_share(120) > 0.8, wheat.green_share(220) < 0.1
        (True, True)
        """
        wave = 0.0
        for turn in (-365.0, 0.0, 365.0):
            day = day_of_year - lag_days + turn
            rise = 1 / (1 + np.exp((self.rise_day - day) / self.rise_days))
            fall = 1 / (1 + np.exp((day - self.fall_day) / self.fall_days))
            wave += max(0.0, float(rise + fall - 1))
        return self.floor + (self.peak - self.floor) * min(wave, 1.0)


@dataclass(frozen=True)
class Cover:
    """What covers the ground: a green material over a bare one.

    Attributes
    ----------
    green, bare : str
        Keys of `SPECTRA`.
    phenology : Phenology
        Share of the green material over the year.
    texture : float
        Standard deviation of the fine texture, relative to the reflectance.
    rows : float
        The same for the stripes of field work.
    """

    green: str
    bare: str
    phenology: Phenology = Phenology()
    texture: float = 0.04
    rows: float = 0.0


def _plain(material: str, texture: float = 0.04) -> Cover:
    return Cover(material, material, texture=texture)


_WHEAT = Phenology(0.10, 0.90, rise_day=436.0, fall_day=527.0, rise_days=12.0, fall_days=4.0)
_LEAVES = Phenology(0.10, 0.96, rise_day=112.0, fall_day=300.0, rise_days=6.0, fall_days=9.0)
_PINES = Phenology(0.84, 0.95, rise_day=120.0, fall_day=300.0, rise_days=15.0, fall_days=15.0)
_MEADOW = Phenology(0.15, 0.82, rise_day=100.0, fall_day=295.0, rise_days=12.0, fall_days=14.0)

#: Every kind of ground of the site, by name; the order gives the codes of the label raster.
COVERS: Mapping[str, Cover] = MappingProxyType(
    {
        "winter wheat": Cover("green crop", "stubble", _WHEAT, 0.05, 0.05),
        "maize": Cover("green crop", "soil", Phenology(0.03, 0.93, 168.0, 262.0, 8.0, 8.0), 0.06, 0.06),
        "soybean": Cover("green crop", "soil", Phenology(0.02, 0.88, 186.0, 276.0, 7.0, 5.0), 0.06, 0.05),
        "vegetables": Cover("green crop", "soil", Phenology(0.10, 0.62, 118.0, 200.0, 9.0, 8.0), 0.08, 0.09),
        "fallow": Cover("green grass", "dry grass", Phenology(0.08, 0.48, 112.0, 285.0, 14.0, 16.0), 0.10),
        "meadow": Cover("green grass", "dry grass", _MEADOW, 0.08),
        "broadleaf forest": Cover("broadleaf", "bare branches", _LEAVES, 0.15),
        "pine forest": Cover("needles", "bare branches", _PINES, 0.17),
        "water": _plain("water", 0.03),
        "flooded field": _plain("muddy water", 0.10),
        "concrete": _plain("concrete", 0.05),
        "asphalt": _plain("asphalt", 0.06),
        "fresh asphalt": _plain("fresh asphalt", 0.05),
        "gravel": _plain("gravel", 0.09),
        "subsoil": _plain("subsoil", 0.09),
        "rubble": _plain("rubble", 0.16),
        "dirt track": Cover("dry grass", "soil", Phenology(0.2, 0.5), 0.08),
        "stubble": Cover("green grass", "stubble", Phenology(0.05, 0.05), 0.06, 0.06),
        "blue roof": _plain("blue metal"),
        "red roof": _plain("red tile", 0.07),
        "white roof": _plain("white metal"),
        "grey roof": _plain("grey roof", 0.06),
        "snow": _plain("snow", 0.05),
    }
)

#: Code of each cover in the label raster; the fields have codes of their own after these.
CODES: Mapping[str, int] = MappingProxyType({name: code for code, name in enumerate(COVERS)})


@dataclass(frozen=True)
class Building:
    """A block that covers ground and casts a shadow.

    Attributes
    ----------
    footprint : shapely.Polygon
        Convex outline, in metres from the site's corner.
    cover : str
        Key of `COVERS`.
    height_m : float
        Height above ground.
    start, end : date
        First day it stands, first day it does not stand any more.
    """

    footprint: BaseGeometry
    cover: str
    height_m: float
    start: date = date.min
    end: date = date.max


@dataclass(frozen=True)
class Happening:
    """Something that changes the ground on a known day: an event to be found, or a decoy.

    Attributes
    ----------
    name : str
        What happened, in plain words.
    kind : str
        A value of `changedet.kinds.KIND_LABELS` for an event, a plain word for a decoy.
    outline : shapely.Polygon
        Where, in metres from the site's corner.
    cover : str
        Key of `COVERS` that the ground has while it lasts.
    start, end : date
        First day it shows, first day it does not show any more.
    decoy : bool
        True for a change that an analyst of construction does not look for.
    """

    name: str
    kind: str
    outline: BaseGeometry
    cover: str
    start: date
    end: date = date.max
    decoy: bool = False

    def shows_on(self, day: date) -> bool:
        """Return True when the ground shows it on that day."""
        return self.start <= day < self.end


def turned_box(x: float, y: float, size_m: tuple[float, float], angle_deg: float = 0.0) -> BaseGeometry:
    """Return a rectangle of (width, depth) metres around a point, turned by an angle."""
    width, depth = size_m
    box = shapely.box(x - width / 2, y - depth / 2, x + width / 2, y + depth / 2)
    return affinity.rotate(box, angle_deg)


def ragged_outline(x: float, y: float, radius_m: float, seed: int) -> BaseGeometry:
    """Return an irregular closed outline around a point, the same for the same seed."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.full(angle.shape, float(radius_m))
    for order in (2, 3, 4, 6):
        radius += radius_m * 0.32 / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return shapely.Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]))


#: Where the warehouse that comes and the hall that goes stand.
_WAREHOUSE = turned_box(1420, 1062, (72, 42), 8)
_HALL = turned_box(1150, 1250, (66, 36), 8)
APRON = turned_box(1290, 1190, (170, 110), 8)


def events() -> tuple[Happening, ...]:
    """Return what an analyst should find: five lasting events, and one that comes and goes."""
    apron_west = affinity.rotate(turned_box(1246, 1190, (74, 96)), 8, origin=(1290, 1190))
    pit = affinity.rotate(turned_box(1338, 1190, (56, 64)), 8, origin=(1290, 1190))
    road = shapely.LineString([(1464, 1050), (1540, 985), (1572, 930), (1596, 870)]).buffer(
        9, cap_style="flat"
    )
    build, dig = KIND_LABELS[Kind.CONSTRUCTION], KIND_LABELS[Kind.EARTHWORKS]
    surface = KIND_LABELS[Kind.SURFACE]
    return (
        Happening("new warehouse", build, _WAREHOUSE, "blue roof", date(2022, 3, 12)),
        Happening(
            "pad cleared in the forest",
            dig,
            turned_box(1625, 822, (96, 84), 20),
            "subsoil",
            date(2021, 9, 20),
        ),
        Happening("new concrete road", build, road, "concrete", date(2022, 5, 8)),
        Happening("hall demolished", KIND_LABELS[Kind.DEMOLITION], _HALL, "rubble", date(2022, 8, 30)),
        Happening("apron resurfaced", surface, apron_west, "fresh asphalt", date(2022, 10, 5)),
        Happening(
            "pit dug in the apron and filled", dig, pit, "subsoil", date(2021, 7, 25), date(2022, 2, 20)
        ),
    )


def decoys() -> tuple[Happening, ...]:
    """Return the lasting-looking changes that are none: season, water, snow (clouds are added per date)."""
    cut = field_outline(720, 1010)
    cut_too = field_outline(1100, 1905)
    flooded = field_outline(800, 790)
    snow = ragged_outline(2030, 545, 95, 3)
    return (
        Happening(
            "wheat cut early", "harvest", cut, "stubble", date(2023, 5, 12), date(2023, 7, 1), decoy=True
        ),
        Happening(
            "field cut early", "harvest", cut_too, "stubble", date(2023, 5, 17), date(2023, 7, 1), decoy=True
        ),
        Happening(
            "flooded field",
            "flood",
            flooded,
            "flooded field",
            date(2023, 5, 18),
            date(2023, 6, 2),
            decoy=True,
        ),
        Happening(
            "late snow on the hill top",
            "snow",
            snow,
            "snow",
            date(2021, 5, 19),
            date(2021, 5, 24),
            decoy=True,
        ),
    )


@dataclass(frozen=True)
class _Parcels:
    """Strips of fields: edges across the strips, and edges along each strip, in turned coordinates."""

    strips: NDArray[np.float64]
    fields: tuple[NDArray[np.float64], ...]


def _parcels() -> _Parcels:
    rng = np.random.default_rng(LAYOUT_SEED)
    strips = np.cumsum(np.r_[-1100.0, rng.uniform(130, 215, 30)])
    fields = tuple(np.cumsum(np.r_[-500.0, rng.uniform(55, 165, 45)]) for _ in strips)
    return _Parcels(strips, fields)


def _turn(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angle = np.deg2rad(FIELD_ANGLE_DEG)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def field_outline(x: float, y: float) -> BaseGeometry:
    """Return the outline of the field around a point, without its margin."""
    layout = _parcels()
    along, across = _turn(np.array(x), np.array(y))
    strip = int(np.searchsorted(layout.strips, across)) - 1
    edges = layout.fields[strip]
    field = int(np.searchsorted(edges, along)) - 1
    box = shapely.box(edges[field], layout.strips[strip], edges[field + 1], layout.strips[strip + 1])
    turned: BaseGeometry = affinity.rotate(box.buffer(-5, join_style="mitre"), FIELD_ANGLE_DEG, origin=(0, 0))
    return turned


def parcel_labels(axis: NDArray[np.float64]) -> tuple[NDArray[np.intp], int]:
    """Return the number of the field in each cell, shape (y, x), and how many fields there are.

    Verges between the fields carry the codes of their covers minus the number of covers (negative), so that
    adding ``len(CODES)`` gives codes for all cells.
    """
    layout = _parcels()
    along, across = _turn(axis[None, :], axis[:, None])
    strip = np.searchsorted(layout.strips, across) - 1
    labels = np.zeros(strip.shape, np.intp)
    verge = np.full(strip.shape, np.inf)
    for index, edges in enumerate(layout.fields):
        here = strip == index
        field = np.searchsorted(edges, along[here]) - 1
        labels[here] = index * edges.size + field
        verge[here] = np.minimum(along[here] - edges[field], edges[field + 1] - along[here])
    labels[verge < 2.0] = CODES["meadow"] - len(CODES)
    across_verge = np.minimum(across - layout.strips[strip], layout.strips[strip + 1] - across)
    labels[across_verge < 3.5] = CODES["dirt track"] - len(CODES)
    return labels, len(layout.fields) * layout.fields[0].size


def fine_axis() -> NDArray[np.float64]:
    """Return the centres of the cells of the label raster along one axis, in metres."""
    cells = round((SITE_M + 2 * MARGIN_M) / FINE_M)
    return np.asarray((np.arange(cells) + 0.5) * FINE_M - MARGIN_M, np.float64)


def fractal_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    longest_px: float,
    shortest_px: float = 1.0,
    power: float = 2.0,
) -> NDArray[np.float64]:
    """Return correlated noise of mean 0 and standard deviation 1 with a power-law spectrum.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the randomness comes from.
    shape : tuple of int
        (rows, columns).
    longest_px, shortest_px : float
        Wavelengths between which the spectrum follows the power law, in pixels.
    power : float
        Exponent of the power spectrum; 0 is white, 3 is like clouds and relief.

    Returns
    -------
    ndarray of float64, shape `shape`
    """
    from scipy import fft

    spectrum = fft.rfft2(rng.standard_normal(shape))
    frequency = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :])
    low, high = 1 / longest_px, 0.5 / shortest_px
    spectrum *= (frequency**2 + low**2) ** (-power / 4) * np.exp(-((frequency / high) ** 2))
    noise = fft.irfft2(spectrum, s=shape)
    return np.asarray((noise - noise.mean()) / noise.std(), np.float64)


def buildings() -> tuple[Building, ...]:
    """Return all buildings of the site with the days on which they stand."""
    rng = np.random.default_rng(LAYOUT_SEED + 1)
    found = [
        Building(_WAREHOUSE, "blue roof", 11.0, start=events()[0].start),
        Building(_HALL, "white roof", 9.0, end=events()[3].start),
        Building(turned_box(1230, 1300, (90, 30), 8), "blue roof", 9.0),
        Building(turned_box(1335, 1290, (60, 34), 8), "grey roof", 12.0),
        Building(turned_box(1150, 1140, (40, 40), 8), "red roof", 8.0),
        Building(turned_box(1165, 1070, (56, 22), 8), "grey roof", 8.0),
        Building(turned_box(1275, 1078, (46, 26), 8), "white roof", 14.0),
        Building(turned_box(1430, 1260, (24, 52), 8), "red roof", 7.0),
    ]
    roofs = ("grey roof", "red roof", "blue roof", "white roof")
    for column in range(8):
        for row in range(4):
            x = 690 + 62 * column + rng.normal(0, 9)
            y = 1500 + 58 * row + 0.08 * (x - 690) + rng.normal(0, 8)
            size = (float(rng.uniform(18, 38)), float(rng.uniform(13, 24)))
            cover = str(rng.choice(roofs, p=(0.4, 0.3, 0.2, 0.1)))
            if rng.random() < 0.85:
                found.append(
                    Building(turned_box(x, y, size, rng.normal(10, 6)), cover, float(rng.uniform(4, 9)))
                )
    sheds = [
        replace(found[2], footprint=turned_box(1960 + 78 * i, 1590, (34, 96), 14), height_m=7.0)
        for i in range(3)
    ]
    return (*found, *sheds)
