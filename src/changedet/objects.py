"""From flagged pixels to objects: polygons with area, position, kind, confidence and evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SENTINEL2_BANDS
from changedet.coordinates import GeoPoint
from changedet.core.components import component_quantile, split_components
from changedet.core.construction import construction_score, construction_weight
from changedet.core.context import window_share
from changedet.core.indices import compute_indices
from changedet.core.planes import (
    by_rows,
    by_tiles,
    count_where,
    new_plane,
    over_rows,
    placed_where,
    relieve,
    values_where,
)
from changedet.kinds import KIND_CAVEATS, KIND_LABELS, Kind, choose_kind, map_kinds
from changedet.outlines import object_outlines
from changedet.radar.fusion import RADAR_CAVEAT, opinions_of
from changedet.radar.types import FoundBy
from changedet.resample import crs_of

if TYPE_CHECKING:
    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.core.threshold import Thresholds
    from changedet.radar.fusion import RadarFinding
    from changedet.scene import Image, Scene

#: Columns of the object table, in order, before ``geometry``. The same in every vector file.
COLUMNS: tuple[str, ...] = (
    "id",  # int, 1 = highest rank
    "kind",  # str, a label of changedet.kinds
    "score",  # float, 95th percentile of the score inside
    "score_mads",  # float, the same in robust standard deviations above the background median
    "construction",  # float, 95th percentile of the score by its likeness to construction; it ranks
    "context_share",  # float, share of windows of its size in the context that score at least as high
    "sensor",  # str, which sensors flagged it, a value of changedet.radar.types.FoundBy
    "radar_db",  # float, mean change of radar power inside, decibels, NaN where radar did not judge
    "radar_deviations",  # float, mean deviations of radar inside, positive where brighter, NaN as above
    "confidence",  # str: low, medium, high
    "area_m2",  # float, true square metres on the ellipsoid
    "lat", "lon",  # float, centroid, degrees WGS 84
    "dms",  # str
    "mgrs",  # str, 10 m precision
    "first_seen",  # str, UTC time of the after image
    "last_seen_before",  # str, UTC time of the before image
    "before_dates", "after_dates",  # str, UTC dates of all acquisitions of either image, with commas between
    "before_scenes", "after_scenes",  # str, their identifiers
    "evidence",  # str, the numbers that chose the kind, for a reader
    "warnings",  # str, empty when there is none
)  # fmt: skip

_NUMBERS = (
    "score",
    "score_mads",
    "construction",
    "context_share",
    "radar_db",
    "radar_deviations",
    "area_m2",
    "lat",
    "lon",
)
#: Quantile of the weighed score inside an object that ranks it.
RANKING_QUANTILE = 0.95
#: A part of an object is cut off as another kind only when it is this many times the smallest object.
_PART_FACTOR = 3.0
#: Side of the square in which pixels vote on their kind.
_VOTERS_PX = 5
#: Objects this close to pixels that were not observed say so, in pixels.
_NEAR_UNOBSERVED_PX = 5
#: Diffuse ground reflects less than this; what exceeds it on one date mirrors the sun, burns or saturates.
GLINT_REFLECTANCE = 1.0
_REFLECTANCE_BANDS = frozenset(band.name for band in SENTINEL2_BANDS)
#: Robust standard deviations above the background from which a score counts as clear.
_CLEAR_SCORE_MADS = 12.0
_AT_EDGE = "reaches the edge of the site or the image: its area is a lower bound"


@dataclass(frozen=True, eq=False)
class Flagged:
    """What the decision left: labelled pixels and the maps they came from.

    Attributes
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = not flagged, then 1, 2, ... for the objects.
    score : ndarray of float32, shape (y, x)
        Score of the detector that decided.
    thresholds : Thresholds
        Of that score.
    second_score : ndarray of float32, shape (y, x)
        Score of an independent detector.
    second_thresholds : Thresholds
        Of that score.
    observed : ndarray of bool, shape (y, x)
        True where both dates could be seen and compared.
    opinions : tuple of two str
        What the evidence calls the detector that decided and the other one.
    construction : ndarray of float32, shape (y, x), optional
        The score weighed by `construction_map`, which ranks the objects; the score ranks them when left out.
    radar : RadarFinding, optional
        What radar says, where it was asked.
    seasonal : ndarray of int32, shape (y, x), optional
        Like `labels`, of what stands out and is not flagged (`changedet.seasonal`).
    """

    labels: NDArray[np.int32]
    score: NDArray[np.float32]
    thresholds: Thresholds
    second_score: NDArray[np.float32]
    second_thresholds: Thresholds
    observed: NDArray[np.bool_]
    opinions: tuple[str, str] = ("prediction", "change vector")
    construction: NDArray[np.float32] | None = None
    radar: RadarFinding | None = None
    seasonal: NDArray[np.int32] | None = None


def build_objects(
    flagged: Flagged, before: Image, after: Image, inside: NDArray[np.bool_] | None = None
) -> tuple[gpd.GeoDataFrame, NDArray[np.uint8]]:
    """Turn labelled pixels into a ranked table of objects.

    Parameters
    ----------
    flagged : Flagged
        Labels and scores on the grid of the images.
    before, after : Image
        Registered and normalised.
    inside : ndarray of bool, shape (y, x), optional
        True inside the site; everywhere when not given.

    Returns
    -------
    objects : GeoDataFrame
        Columns `COLUMNS` and ``geometry`` in the CRS of the grid; id 1 looks most like construction, and what
        looks like a glint comes last. Areas are those of the ellipsoid in square metres, whatever the CRS.
    kind : ndarray of uint8, shape (y, x)
        `changedet.kinds.Kind` codes.

    Raises
    ------
    CrsMismatchError
        When the grid has no coordinate reference system.
    """
    import geopandas as gpd

    count = int(flagged.labels.max(initial=0))
    crs = str(crs_of(before.grid).to_wkt())
    if count == 0:
        return empty_objects(crs), new_plane(flagged.labels.shape, np.uint8, 0)
    polygons = gpd.GeoSeries(object_outlines(flagged.labels, before.grid, count), crs=crs)
    kinds, evidence = _kinds(flagged.labels, before, after)
    scores = component_quantile(flagged.labels, flagged.score, RANKING_QUANTILE)
    weighed = flagged.score if flagged.construction is None else flagged.construction
    construction = component_quantile(flagged.labels, weighed, RANKING_QUANTILE)
    second = component_quantile(flagged.labels, flagged.second_score, 0.75)
    agreed = [bool(a) for a in second > flagged.second_thresholds.grow]
    seen = _circumstances(flagged, before, after, inside)
    kinds = [Kind.UNCLASSIFIED if c.glint else kind for kind, c in zip(kinds, seen, strict=True)]
    mads = [flagged.thresholds.mads(score) for score in scores]
    sure = [_confidence(m, c, agreed=a) for m, c, a in zip(mads, seen, agreed, strict=True)]
    said = [f"{e}; {_agreement(flagged.opinions, agreed=a)}" for e, a in zip(evidence, agreed, strict=True)]
    cautions = [_warnings(kind, c) for kind, c in zip(kinds, seen, strict=True)]
    told = _OpticalView(kinds, sure, said, cautions, [c.at_edge for c in seen])
    by_radar: dict[str, list[Any]] = {}
    if flagged.radar is not None:
        told, by_radar = _with_radar(flagged.radar, flagged.labels, told, (before, after))
    points = _centres(polygons)
    columns = {
        "kind": [KIND_LABELS[kind] for kind in told.kinds],
        "score": scores.round(4),
        "score_mads": np.round(mads, 2),
        "construction": construction.round(4),
        "context_share": [float(f"{share:.3g}") for share in window_share(flagged.score, flagged.labels)],
        "sensor": [FoundBy.OPTICAL.value] * count,
        "radar_db": [math.nan] * count,
        "radar_deviations": [math.nan] * count,
        "confidence": told.confidence,
        "area_m2": [round(area_m2(outline), 1) for outline in polygons.to_crs("EPSG:4326")],
        "lat": [round(point.lat, 6) for point in points],
        "lon": [round(point.lon, 6) for point in points],
        "dms": [point.dms for point in points],
        "mgrs": [point.mgrs for point in points],
        # of a composite only the outermost dates are certain for every pixel
        "first_seen": after.scene.acquisitions[-1].time_text,
        "last_seen_before": before.scene.acquisitions[0].time_text,
        **_acquisitions("before", before.scene),
        **_acquisitions("after", after.scene),
        "evidence": told.evidence,
        "warnings": told.warnings,
        **by_radar,
    }
    order = np.lexsort((-scores, -construction, np.array([c.glint for c in seen])))
    ranked = gpd.GeoDataFrame(columns, geometry=polygons).iloc[order]
    ranked = ranked.assign(id=np.arange(1, count + 1)).reset_index(drop=True)
    codes = np.array([Kind.NONE, *told.kinds], np.uint8)
    kind = by_rows(lambda labels: codes[labels], flagged.labels, dtype=np.uint8)
    return ranked[[*COLUMNS, "geometry"]], kind


@dataclass(frozen=True)
class _OpticalView:
    """What is said of each object, by optical images first."""

    kinds: list[Kind]
    confidence: list[str]
    evidence: list[str]
    warnings: list[str]
    at_edge: list[bool]


def _with_radar(
    finding: RadarFinding, labels: NDArray[np.int32], view: _OpticalView, images: tuple[Image, Image]
) -> tuple[_OpticalView, dict[str, list[Any]]]:
    """Let radar speak: what it alone flagged has no kind; of the rest it adds to evidence and confidence."""
    opinions = opinions_of(finding, labels, view.kinds, images)
    caveats = [f"{RADAR_CAVEAT}; {_AT_EDGE}" if edge else RADAR_CAVEAT for edge in view.at_edge]
    told = replace(
        view,
        kinds=[Kind.UNCLASSIFIED if o.alone else k for o, k in zip(opinions, view.kinds, strict=True)],
        confidence=[o.confidence(c) for o, c in zip(opinions, view.confidence, strict=True)],
        evidence=[
            o.sentence if o.alone else f"{e}; {o.sentence}"
            for o, e in zip(opinions, view.evidence, strict=True)
        ],
        warnings=[
            caveat if o.alone else w for o, w, caveat in zip(opinions, view.warnings, caveats, strict=True)
        ],
    )
    return told, {
        "sensor": [one.sensor.value for one in opinions],
        "radar_db": [round(one.change_db, 2) for one in opinions],
        "radar_deviations": [round(one.deviations, 2) for one in opinions],
    }


def construction_map(score: NDArray[np.float32], before: Image, after: Image) -> NDArray[np.float32]:
    """Weigh a score by how far the change looks like construction, see `changedet.core.construction`.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN = not judged.
    before, after : Image
        Registered and normalised.

    Returns
    -------
    ndarray of float32, shape (y, x)
        In the unit of the score and never above it; NaN where the score is.
    """
    haze = (before.haze, after.haze)
    return construction_score(score, construction_weight(before.data, after.data, before.bands, haze))


def split_by_kind(
    labels: NDArray[np.int32], before: Image, after: Image, *, min_pixels: float
) -> NDArray[np.int32]:
    """Cut flagged groups where the kind of change differs from pixel to pixel, after a 5 x 5 majority vote.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        Groups of flagged pixels.
    before, after : Image
        Registered and normalised.
    min_pixels : float
        Smallest object. A part is cut off only when it has three times as many pixels.

    Returns
    -------
    ndarray of int32, shape (y, x)
        The same pixels, in more objects.
    """
    inside = flagged_pixels(labels)
    if not count_where(np.copy, inside):
        return labels
    first, second = (indices_of(image, inside) for image in (before, after))
    if not first:  # bands of another sensor, or without names: no index, so one kind everywhere
        return labels
    kinds = placed_where(inside, map_kinds(first, second))
    voted = by_tiles(_majority, kinds, halo_px=_VOTERS_PX // 2, dtype=np.uint8)
    return split_components(labels, voted, min_pixels=_PART_FACTOR * min_pixels)


def flagged_pixels(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pixels belong to any object."""
    return by_rows(lambda part: part > 0, labels, dtype=bool)


def indices_of(image: Image, inside: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Compute the indices of some pixels only, without what the air adds.

    Parameters
    ----------
    image : Image
        Any bands.
    inside : ndarray of bool, shape (y, x)
        True at the pixels that are wanted.

    Returns
    -------
    dict of str to ndarray of float32, shape (n,)
        By the names of `changedet.core.indices.INDICES`, those whose bands are there; in raster order.
    """
    pixels, haze = values_where(inside, image.data), image.haze
    if haze.any():
        pixels = np.maximum(pixels - haze[:, None], np.float32(0))
    return compute_indices(pixels, image.bands)


def _majority(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Let the pixels that have a kind vote in a square; the pixel's own kind wins a tie."""
    import cv2

    best, most = np.zeros_like(kinds), np.zeros(kinds.shape, np.float32)
    for code in np.unique(kinds[kinds != Kind.NONE]):
        own = (kinds == code).astype(np.float32)
        votes = cv2.boxFilter(own, -1, (_VOTERS_PX, _VOTERS_PX)) + np.float32(1e-3) * own
        best[votes > most] = code
        np.maximum(votes, most, out=most)
    return best


def empty_objects(crs: str) -> gpd.GeoDataFrame:
    """Return an object table without rows, with the columns and types of one that has some.

    Parameters
    ----------
    crs : str
        Anything that names a coordinate reference system to pyproj.

    Returns
    -------
    GeoDataFrame
        Columns `COLUMNS` and ``geometry``.
    """
    import geopandas as gpd
    import pandas as pd

    types: dict[str, Any] = {"id": "int64"}
    types |= dict.fromkeys(_NUMBERS, "float64")
    text = pd.Series([""]).dtype  # which one it is depends on the version of pandas
    frame = gpd.GeoDataFrame({c: [] for c in COLUMNS}, geometry=[], crs=crs)
    return frame.astype({c: types.get(c, text) for c in COLUMNS})


def area_m2(lonlat: Any) -> float:  # noqa: ANN401  # shapely ships no precise type for "any polygon"
    """Return the area of a polygon on the WGS 84 ellipsoid.

    Parameters
    ----------
    lonlat : shapely geometry
        In longitude and latitude, degrees.

    Returns
    -------
    float
        Square metres, never negative (Karney 2013, doi:10.1007/s00190-012-0578-z).
    """
    from pyproj import Geod

    return abs(float(Geod(ellps="WGS84").geometry_area_perimeter(lonlat)[0]))


def _centres(polygons: gpd.GeoSeries) -> list[GeoPoint]:
    """Take centroids on the grid: across the antimeridian longitudes would average to the wrong side."""
    import geopandas as gpd
    import shapely

    centres = gpd.GeoSeries(shapely.centroid(polygons.array), crs=polygons.crs).to_crs("EPSG:4326")
    return [GeoPoint(float(point.y), float(point.x)) for point in centres]


def _kinds(labels: NDArray[np.int32], before: Image, after: Image) -> tuple[list[Kind], list[str]]:
    inside, medians = flagged_pixels(labels), []
    flat = values_where(inside, labels)
    for image in (before, after):
        indices = indices_of(image, inside)
        medians.append({name: component_quantile(flat, values, 0.5) for name, values in indices.items()})
    chosen = [
        choose_kind(*({name: float(values[i]) for name, values in side.items()} for side in medians))
        for i in range(int(labels.max(initial=0)))
    ]
    return [kind for kind, _ in chosen], [text for _, text in chosen]


@dataclass(frozen=True)
class _Circumstances:
    """What lies round an object or makes it doubtful."""

    near_unobserved: bool
    at_edge: bool
    glint: bool


def _circumstances(
    flagged: Flagged, before: Image, after: Image, inside: NDArray[np.bool_] | None
) -> list[_Circumstances]:
    labels = flagged.labels
    found = (
        _touched(labels, flagged.observed, _NEAR_UNOBSERVED_PX),
        _touched(labels, inside, 1, at_edges=True),
        _brightest(labels, before, after) > GLINT_REFLECTANCE,
    )
    return [_Circumstances(*map(bool, row)) for row in zip(*found, strict=True)]


def _acquisitions(word: str, scene: Scene) -> dict[str, str]:
    """Name every date that may have given a pixel, so that a row tells it without its folder."""
    found = scene.acquisitions
    return {
        f"{word}_dates": ", ".join(one.date_text for one in found),
        f"{word}_scenes": ", ".join(one.id for one in found),
    }


def _touched(
    labels: NDArray[np.int32], ground: NDArray[np.bool_] | None, reach_px: int, *, at_edges: bool = False
) -> NDArray[np.bool_]:
    """Tell which objects come within `reach_px` of what is not ground, which may be the edge of the image."""
    import cv2

    square = np.ones((2 * reach_px + 1,) * 2, np.uint8)
    touched = np.zeros(int(labels.max(initial=0)) + 1, bool)
    relieve()
    if at_edges:
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            touched[edge] = True
    if ground is not None:

        def _tile(wide: NDArray[np.bool_]) -> NDArray[np.bool_]:
            if wide.all():
                return ~wide
            return np.asarray(cv2.dilate((~wide).view(np.uint8), square, borderValue=0) > 0)

        near = by_tiles(_tile, ground, halo_px=reach_px, dtype=bool)
        for group in over_rows(lambda part, region: np.unique(part[region]), labels, near):
            touched[group] = True
    return touched[1:]


def _brightest(labels: NDArray[np.int32], before: Image, after: Image) -> NDArray[np.float64]:
    """Reflectance that a tenth of each object exceeds in some band on some date; 0 for other numbers."""
    count = int(labels.max(initial=0))
    if any(name not in _REFLECTANCE_BANDS for name in before.bands):
        return np.zeros(count)
    inside = flagged_pixels(labels)
    pixels = [np.nan_to_num(values_where(inside, image.data)).max(axis=0) for image in (before, after)]
    return component_quantile(values_where(inside, labels), np.maximum(*pixels), 0.9)


def _confidence(mads: float, seen: _Circumstances, *, agreed: bool) -> str:
    """Say low or medium. "High" needs a second sensor or persistence over dates, which a pair cannot give."""
    doubtful = seen.near_unobserved or seen.glint
    return "medium" if agreed and mads >= _CLEAR_SCORE_MADS and not doubtful else "low"


def _agreement(opinions: tuple[str, str], *, agreed: bool) -> str:
    return f"{' and '.join(opinions)} agree" if agreed else "only one of two detectors flags it"


def _warnings(kind: Kind, seen: _Circumstances) -> str:
    if seen.glint:
        found = ["reflectance above 1 on one date: consistent with sun glint, fire or a saturated sensor"]
    else:
        found = [KIND_CAVEATS[kind]] if kind in KIND_CAVEATS else []
    if seen.near_unobserved:
        found.append("next to ground that was not compared (cloud, shadow, no data, or snow on one date)")
    if seen.at_edge:
        found.append(_AT_EDGE)
    return "; ".join(found)
