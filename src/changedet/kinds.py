"""Kinds of change: their codes, names and colours, and the rules that choose one for an object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


class Kind(IntEnum):
    """Kind of change of an object; the codes of ``kind.tif``."""

    NONE = 0
    CONSTRUCTION = 1
    EARTHWORKS = 2
    DEMOLITION = 3
    VEGETATION = 4
    WATER = 5
    SURFACE = 6
    UNCLASSIFIED = 7


#: What each kind is called wherever a reader sees it.
KIND_LABELS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NONE: "no object",
        Kind.CONSTRUCTION: "new construction",
        Kind.EARTHWORKS: "ground clearing or earthworks",
        Kind.DEMOLITION: "demolition",
        Kind.VEGETATION: "vegetation change",
        Kind.WATER: "water change",
        Kind.SURFACE: "surface change on existing ground",
        Kind.UNCLASSIFIED: "unclassified change",
    }
)

#: Outline colours, told apart also by readers with colour-vision deficiency (Okabe and Ito 2008).
KIND_COLOURS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NONE: "#000000",
        Kind.CONSTRUCTION: "#d55e00",
        Kind.EARTHWORKS: "#e69f00",
        Kind.DEMOLITION: "#cc79a7",
        Kind.VEGETATION: "#009e73",
        Kind.WATER: "#56b4e9",
        Kind.SURFACE: "#f0e442",
        Kind.UNCLASSIFIED: "#ffffff",
    }
)


class Surface(StrEnum):
    """What an object's ground looks like on one date."""

    WATER = "water"
    DARK = "very dark ground or shadow"
    VEGETATION = "vegetation"
    SPARSE = "sparse or dry vegetation"
    SOIL = "bare soil"
    BUILT = "built or paved"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class SurfaceRule:
    """One row of the table that reads a surface from index values; the first row that holds wins.

    Attributes
    ----------
    surface : Surface
        What the row concludes.
    holds : callable
        From index values (by name, see `changedet.core.indices`), numbers or arrays, to True or False.
    text : str
        The condition in words.
    source : str
        Where it comes from.
    """

    surface: Surface
    holds: Callable[[Mapping[str, Any]], Any]
    text: str
    source: str


#: Thresholds are starting points for surface reflectance, chosen on physical grounds and fitted to no site.
SURFACE_RULES: tuple[SurfaceRule, ...] = (
    SurfaceRule(
        Surface.WATER,
        lambda v: (v["NIR"] < 0.15) & (v["NDWI"] > 0.0) & (v.get("MNDWI", 1.0) > 0.1),
        "NIR < 0.15, NDWI > 0, MNDWI > 0.1",
        "McFeeters 1996, doi:10.1080/01431169608948714; Xu 2006, doi:10.1080/01431160600589179",
    ),
    SurfaceRule(
        Surface.DARK,
        lambda v: (v["brightness"] < 0.045) & (v["NIR"] < 0.10),
        "brightness < 0.045, NIR < 0.10",
        "shadow is dark in every band; compare Zhu and Woodcock 2012, doi:10.1016/j.rse.2011.10.028",
    ),
    SurfaceRule(
        Surface.BUILT,
        lambda v: (v["redness"] < -0.15) & (v["brightness"] > 0.08),
        "redness below -0.15, brightness > 0.08: painted steel, whose near infrared can pass for vegetation",
        "neither soil nor leaves are bright in the blue",
    ),
    SurfaceRule(
        Surface.VEGETATION,
        lambda v: v["NDVI"] >= 0.40,
        "NDVI at least 0.40",
        "Rouse et al. 1974",
    ),
    SurfaceRule(
        Surface.BUILT,
        lambda v: (v["NDVI"] >= 0.25) & (v["redness"] >= 0.35) & (v.get("NDTI", 1.0) < 0.06),
        "NDVI 0.25 to 0.40, redness at least 0.35, NDTI < 0.06: red tiles, which can pass for dry plants",
        "van Deventer et al. 1997; fired clay lacks the absorption of cellulose and water near 2.2 um",
    ),
    SurfaceRule(
        Surface.SPARSE,
        lambda v: v["NDVI"] >= 0.25,
        "NDVI 0.25 to 0.40: stubble, dry grass, scrub",
        "Rouse et al. 1974",
    ),
    SurfaceRule(
        Surface.SOIL,
        lambda v: (v["redness"] >= 0.22) & (v.get("BSI", 1.0) > 0.0),
        "redness at least 0.22, BSI > 0",
        "Rikimaru, Roy and Miyatake 2002; iron oxides redden soils, not concrete",
    ),
    SurfaceRule(
        Surface.BUILT,
        lambda v: v["NDVI"] < 0.25,
        "NDVI < 0.25 and none of the above",
        "Zha, Gao and Ni 2003, doi:10.1080/01431160304987",
    ),
)

#: Index values without which no surface is named.
NEEDED_INDICES: tuple[str, ...] = ("NDVI", "NDWI", "NIR", "redness", "brightness")

_GREEN = (Surface.VEGETATION, Surface.SPARSE)

#: Kind of change by (before, after). What is not listed is unclassified. Exchanging the dates exchanges
#: construction and demolition; earthworks become vegetation (growing over).
KIND_TABLE: Mapping[tuple[Surface, Surface], Kind] = MappingProxyType(
    {
        **{(a, b): Kind.VEGETATION for a in _GREEN for b in _GREEN},
        **{(green, Surface.SOIL): Kind.EARTHWORKS for green in _GREEN},
        **{(green, Surface.BUILT): Kind.CONSTRUCTION for green in _GREEN},
        **{(Surface.SOIL, green): Kind.VEGETATION for green in _GREEN},
        (Surface.SOIL, Surface.SOIL): Kind.SURFACE,
        (Surface.SOIL, Surface.BUILT): Kind.CONSTRUCTION,
        **{(Surface.BUILT, green): Kind.DEMOLITION for green in _GREEN},
        (Surface.BUILT, Surface.SOIL): Kind.DEMOLITION,
        (Surface.BUILT, Surface.BUILT): Kind.SURFACE,
        **{(Surface.WATER, s): Kind.WATER for s in Surface if s not in (Surface.WATER, Surface.UNKNOWN)},
        **{(s, Surface.WATER): Kind.WATER for s in Surface if s not in (Surface.WATER, Surface.UNKNOWN)},
    }
)

#: What else each kind is consistent with, said beside every object of that kind.
KIND_CAVEATS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.EARTHWORKS: "harvest or ploughing looks the same on two dates",
        Kind.CONSTRUCTION: "dry fields and rock can look built",
        Kind.DEMOLITION: "a cleared storage yard looks the same",
        Kind.VEGETATION: "season, harvest, mowing and irrigation look the same",
        Kind.WATER: "a tide, a flood or sun glint looks the same",
        Kind.SURFACE: "wet ground, dust, parked goods and moved shadows look the same",
        Kind.UNCLASSIFIED: "may be a shadow or a thin cloud",
    }
)


def read_surface(values: Mapping[str, float]) -> Surface:
    """Name what ground looks like on one date.

    Parameters
    ----------
    values : mapping of str to float
        Index medians of an object, by the names of `changedet.core.indices.INDICES`.

    Returns
    -------
    Surface
        `Surface.UNKNOWN` when NDVI, NDWI, NIR, redness or brightness is missing or NaN.

    Examples
    --------
    >>> read_surface({"NDVI": 0.7, "NDWI": -0.6, "NIR": 0.4, "redness": 0.1, "brightness": 0.05}).value
    'vegetation'
    """
    if any(name not in values or math.isnan(values[name]) for name in NEEDED_INDICES):
        return Surface.UNKNOWN
    return next((rule.surface for rule in SURFACE_RULES if rule.holds(values)), Surface.UNKNOWN)


def map_kinds(
    before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.uint8]:
    """Name the kind of change of every pixel by the same rules and table as for objects.

    Parameters
    ----------
    before, after : mapping of str to ndarray of float32, shape (y, x)
        Index images of each date.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        `Kind` codes, `Kind.UNCLASSIFIED` where an index is missing or NaN.
    """
    surfaces = list(Surface)
    table = np.full((len(surfaces), len(surfaces)), Kind.UNCLASSIFIED, np.uint8)
    for (first, second), kind in KIND_TABLE.items():
        table[surfaces.index(first), surfaces.index(second)] = kind
    return np.asarray(table[_surface_codes(before, surfaces), _surface_codes(after, surfaces)])


def name_surfaces(values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.object_]:
    """Name what ground looks like on every date, or in every pixel, by `SURFACE_RULES`.

    Parameters
    ----------
    values : mapping of str to ndarray of float32, any shape
        Index values by name.

    Returns
    -------
    ndarray of `Surface`, same shape
        `Surface.UNKNOWN` where an index that is needed is missing or NaN.

    Examples
    --------
    >>> roof = {"NDVI": 0.05, "NDWI": -0.1, "NIR": 0.3, "redness": 0.04, "brightness": 0.28}
    >>> name_surfaces({name: np.float32([value]) for name, value in roof.items()})[0].value
    'built or paved'
    """
    surfaces = list(Surface)
    # filled one by one: numpy would read names as text
    names = np.empty(len(surfaces), object)
    names[:] = surfaces
    return np.asarray(names[_surface_codes(values, surfaces)])


def _surface_codes(values: Mapping[str, NDArray[np.float32]], surfaces: list[Surface]) -> NDArray[np.intp]:
    shape = next(iter(values.values())).shape
    unknown = surfaces.index(Surface.UNKNOWN)
    if any(name not in values for name in NEEDED_INDICES):
        return np.full(shape, unknown, np.intp)
    known = np.all([np.isfinite(values[name]) for name in NEEDED_INDICES], axis=0)
    conditions = [known & rule.holds(values) for rule in SURFACE_RULES]
    codes = [surfaces.index(rule.surface) for rule in SURFACE_RULES]
    return np.select(conditions, codes, default=unknown).astype(np.intp)


#: A built-up pixel is never greener than this, on nearly all dates: bare fields are green in some season.
BUILT_UP_MOST_NDVI = 0.30
#: Share of the dates below which `BUILT_UP_MOST_NDVI` has to be kept.
BUILT_UP_GREENEST = 0.90


def built_up(typical: Mapping[str, NDArray[np.float32]], greenest: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which pixels are built or paved by what a series of dates shows.

    Parameters
    ----------
    typical : mapping of str to ndarray of float32, any shape
        Index images of the median reflectance of all clear dates.
    greenest : ndarray of float32, same shape
        The NDVI that `BUILT_UP_GREENEST` of the dates stay below.

    Returns
    -------
    ndarray of bool, same shape
        True where `SURFACE_RULES` read built or paved ground, and the pixel is hardly ever green; False where
        an index is missing.

    Examples
    --------
    >>> roof = {"NDVI": 0.05, "NDWI": -0.1, "NIR": 0.3, "redness": 0.04, "brightness": 0.28}
    >>> typical = {name: np.float32([value, value]) for name, value in roof.items()}
    >>> built_up(typical, np.float32([0.1, 0.6])).tolist()
    [True, False]
    """
    surfaces = list(Surface)
    codes = _surface_codes(typical, surfaces)
    never_green = np.nan_to_num(greenest, nan=np.inf) < BUILT_UP_MOST_NDVI
    return np.asarray((codes == surfaces.index(Surface.BUILT)) & never_green)


def choose_kind(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[Kind, str]:
    """Choose the kind of change of an object, with the evidence for it.

    Parameters
    ----------
    before, after : mapping of str to float
        Index medians of the object on each date.

    Returns
    -------
    kind : Kind
        From `KIND_TABLE`.
    evidence : str
        The two surfaces and the numbers behind them, for a reader.

    Examples
    --------
    >>> grass = {"NDVI": 0.7, "NDWI": -0.6, "NIR": 0.4, "redness": 0.1, "brightness": 0.05}
    >>> roof = {"NDVI": 0.05, "NDWI": -0.1, "NIR": 0.3, "redness": 0.04, "brightness": 0.28}
    >>> choose_kind(grass, roof)[0].name
    'CONSTRUCTION'
    """
    surfaces = read_surface(before), read_surface(after)
    kind = KIND_TABLE.get(surfaces, Kind.UNCLASSIFIED)
    numbers = ", ".join(
        f"{name} {before[name]:.2f} to {after[name]:.2f}"
        for name in ("NDVI", "BSI", "MNDWI", "redness", "brightness")
        if not math.isnan(before.get(name, math.nan) + after.get(name, math.nan))
    )
    return kind, f"{surfaces[0]} to {surfaces[1]}" + (f" ({numbers})" if numbers else "")
