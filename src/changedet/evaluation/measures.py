"""What a result is worth beside a truth: figures of pixels, objects and confidence, for a site or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import change_weights
from changedet.core.accuracy import (
    SIZE_CLASSES_PX,
    ObjectCounts,
    PixelCounts,
    area_under_roc,
    average_precision,
    best_f1,
    count_objects,
    count_pixels,
    flag_equal_area,
    rank_pixels,
    thinned,
    touched_objects,
    wilson_interval,
)
from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.threshold import robust_thresholds
from changedet.evaluation.kinds import measure_kinds
from changedet.objects import split_by_kind
from changedet.resample import pixel_size_m
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.accuracy import Ranking
    from changedet.evaluation.kinds import KindMeasures
    from changedet.evaluation.sets import Truth
    from changedet.result import ChangeResult

#: Levels of confidence, as objects carry them.
CONFIDENCE_LEVELS = ("low", "medium", "high")
_CURVE_POINTS = 120
_USUAL_SMOOTHING_PX = (1.0, 2.0, 4.0)


def size_class_names() -> tuple[str, ...]:
    """Return what the size classes of labelled objects are called, such as "10-24" for 10 to 24 pixels.

    Returns
    -------
    tuple of str
        One for each of `changedet.core.accuracy.SIZE_CLASSES_PX`.

    Examples
    --------
    >>> size_class_names()
    ('1-9', '10-24', '25-49', '50-99', '100+')
    """
    ends = [f"-{end - 1}" for end in SIZE_CLASSES_PX[1:]] + ["+"]
    return tuple(f"{start}{end}" for start, end in zip(SIZE_CLASSES_PX, ends, strict=True))


@dataclass(frozen=True, eq=False)
class Measures:
    """What one method did at one site, or at several together.

    Attributes
    ----------
    pixels : PixelCounts
        Its decision, pixel by pixel.
    objects : ObjectCounts
        Its objects.
    judged : int
        Number of pixels that were judged, of those that are labelled.
    changed : ndarray of bool, shape (n,)
        The truth of every labelled pixel.
    score : ndarray of float32, shape (n,)
        The score of these pixels; NaN = not judged.
    background : tuple of float
        Median and robust standard deviation of the score of the scene.
    """

    pixels: PixelCounts
    objects: ObjectCounts
    judged: int
    changed: NDArray[np.bool_]
    score: NDArray[np.float32]
    background: tuple[float, float] = (0.0, 1.0)

    def ranking(self) -> Ranking:
        """Rank the pixels by their score.

        Returns
        -------
        Ranking
            Made anew with every call; it takes as long as sorting the pixels.
        """
        return rank_pixels(self.changed, self.score)

    def mads(self) -> NDArray[np.float32]:
        """Return the score in robust standard deviations above the background of its scene.

        Returns
        -------
        ndarray of float32, shape (n,)
            The score itself where the background does not vary or is not known.
        """
        return self.in_mads(self.score)

    def in_mads(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values in the unit of the score as `mads` returns the score itself.

        Parameters
        ----------
        values : ndarray of float32, any shape
            NaN stays NaN.

        Returns
        -------
        ndarray of float32, same shape
        """
        median, mad = self.background
        if not mad > 0:
            return values
        return np.asarray((values - np.float32(median)) / np.float32(mad), np.float32)

    def rates(self) -> dict[str, float]:
        """Return every share, area under a curve and density.

        Returns
        -------
        dict of str to float
            NaN where the truth does not allow one.
        """
        ranking = self.ranking()
        by_size = {
            f"object_recall_{name}_px": self.objects.recall(i) for i, name in enumerate(size_class_names())
        }
        return {
            "roc_auc": area_under_roc(ranking),
            "average_precision": average_precision(ranking),
            "precision": self.pixels.precision,
            "recall": self.pixels.recall,
            "f1": self.pixels.f1,
            "iou": self.pixels.iou,
            "best_f1": best_f1(ranking)[0],
            "changed_share": self.pixels.changed_share,
            "flagged_share": self.pixels.flagged_share,
            "not_judged_share": 1 - self.judged / self.changed.size if self.changed.size else math.nan,
            "object_recall": self.objects.recall(),
            **by_size,
            "object_precision": self.objects.precision,
            "false_objects_per_km2": self.objects.false_per_km2,
        }

    def counts(self) -> dict[str, Any]:
        """Return what the shares were computed from.

        Returns
        -------
        dict
            Numbers of pixels and of objects, JSON-serialisable.
        """
        pixels, objects, names = self.pixels, self.objects, size_class_names()
        return {
            "hit_pixels": pixels.hits,
            "false_alarm_pixels": pixels.false_alarms,
            "missed_pixels": pixels.misses,
            "labelled_pixels": self.changed.size,
            "judged_pixels": self.judged,
            "judged_km2": objects.area_km2,
            "labelled_objects": dict(zip(names, objects.labelled, strict=True)),
            "found_objects": dict(zip(names, objects.found, strict=True)),
            "flagged_objects": objects.flagged,
            "touching_objects": objects.touching,
        }

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Return the curves of recall over false alarms and of precision over recall, thinned for drawing.

        Returns
        -------
        dict of str to list of (x, y)
            ``roc`` and ``precision_recall``; empty unless there are changed and unchanged pixels.
        """
        ranking = self.ranking()
        if not (ranking.changed and ranking.unchanged):
            return {"roc": [], "precision_recall": []}
        roc = thinned(np.append(0.0, ranking.false_alarm_rate), np.append(0.0, ranking.recall), _CURVE_POINTS)
        return {
            "roc": roc,
            "precision_recall": thinned(ranking.recall, ranking.precision, _CURVE_POINTS),
        }


def pool(measures: Sequence[Measures]) -> Measures:
    """Put several sites together as if they were one: every pixel and every object counts once.

    Scores are ranked in robust standard deviations above the background of their own scene, as they are for
    the decision.

    Parameters
    ----------
    measures : sequence of Measures
        Of one method; at least one.

    Returns
    -------
    Measures
    """
    return Measures(
        sum((one.pixels for one in measures), PixelCounts()),
        sum((one.objects for one in measures), ObjectCounts()),
        sum(one.judged for one in measures),
        np.concatenate([one.changed for one in measures]),
        np.concatenate([one.mads() for one in measures]),
    )


def mean_rates(rates: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every rate over sites, each counting alike.

    Parameters
    ----------
    rates : iterable of mapping
        From `Measures.rates`.

    Returns
    -------
    dict of str to float
        Sites at which a rate is NaN are left out of its mean; NaN when all are.

    Examples
    --------
    >>> mean_rates([{"recall": 0.5}, {"recall": 1.0}, {"recall": float("nan")}])
    {'recall': 0.75}
    """
    listed = list(rates)
    found: dict[str, float] = {}
    for name in listed[0] if listed else ():
        values = [one[name] for one in listed if math.isfinite(one[name])]
        found[name] = sum(values) / len(values) if values else math.nan
    return found


@dataclass(frozen=True)
class Calibration:
    """How many objects of each level of confidence touch a labelled change.

    Attributes
    ----------
    objects, touching : mapping of str to int
        By level of confidence.
    """

    objects: Mapping[str, int]
    touching: Mapping[str, int]

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            *(
                MappingProxyType({level: a[level] + b[level] for level in CONFIDENCE_LEVELS})
                for a, b in ((self.objects, other.objects), (self.touching, other.touching))
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return counts, shares and their 95 % intervals after Wilson, by level.

        Returns
        -------
        dict
            JSON-serialisable but for NaN, which stands where there is no object.
        """
        found = {}
        for level in CONFIDENCE_LEVELS:
            count, touching = self.objects[level], self.touching[level]
            low, high = wilson_interval(touching, count)
            found[level] = {
                "objects": count,
                "touching": touching,
                "share": touching / count if count else math.nan,
                "low": low,
                "high": high,
            }
        return found


@dataclass(frozen=True, eq=False)
class SiteMeasures:
    """What a result is worth at one site.

    Attributes
    ----------
    method : Measures
        Of the decision and the score of the result.
    cva : Measures or None
        Of change vector analysis with the same smoothing, flagging the same area; None when the images are
        not there any more, or nothing was judged.
    calibration : Calibration
        Of the confidence of the objects.
    kinds : KindMeasures or None
        What likeness to construction makes of the ranking; None where it is not known.
    """

    method: Measures
    cva: Measures | None
    calibration: Calibration
    kinds: KindMeasures | None = None


def measure(result: ChangeResult, truth: Truth) -> SiteMeasures:
    """Set a result against a truth.

    Ground outside the site and ground without a label do not count. What was not judged counts as not
    flagged, and its score ranks last: what was not seen was not found.

    Parameters
    ----------
    result : ChangeResult
        Of a comparison, or from a run folder.
    truth : Truth
        On the grid of the result.

    Returns
    -------
    SiteMeasures

    Raises
    ------
    ValueError
        When the truth lies on another grid.
    """
    if truth.changed.shape != result.score.shape:
        message = f"truth {truth.changed.shape} does not lie on the grid of the result {result.score.shape}"
        raise ValueError(message)
    counted = truth.known & (result.state != State.OUTSIDE)
    ground = _Ground(truth.changed & counted, counted, float(np.prod(pixel_size_m(result.grid))))
    labels = np.where(counted, object_labels(result.objects, result.grid), 0).astype(np.int32)
    background = result.thresholds.get("median", math.nan), result.thresholds.get("mad", math.nan)
    flagged = (result.state == State.CHANGED) & counted
    method = ground.measures(result.score, background, flagged, labels)
    return SiteMeasures(
        method,
        _equal_area_cva(result, ground, int(flagged.sum())),
        _calibration(result.objects, labels, ground.changed),
        measure_kinds(result, method, labels, (ground.changed, counted)),
    )


@dataclass(frozen=True, eq=False)
class _Ground:
    """The labelled ground of a site."""

    changed: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    pixel_m2: float

    def measures(
        self,
        score: NDArray[np.float32],
        background: tuple[float, float],
        flagged: NDArray[np.bool_],
        labels: NDArray[np.int32],
    ) -> Measures:
        """Measure a score, a decision on pixels, and objects."""
        judged = int(np.count_nonzero(np.isfinite(score) & self.counted))
        return Measures(
            count_pixels(self.changed[self.counted], flagged[self.counted]),
            count_objects(self.changed, labels, judged * self.pixel_m2 / 1e6),
            judged,
            self.changed[self.counted],
            score[self.counted],
            background,
        )


def object_labels(objects: gpd.GeoDataFrame, grid: GeoBox) -> NDArray[np.int32]:
    """Turn outlines of objects back into the pixels they were drawn round.

    Parameters
    ----------
    objects : GeoDataFrame
        Of a result, in the reference system of the grid.
    grid : GeoBox
        Of the result.

    Returns
    -------
    ndarray of int32, shape (y, x)
        0 = not flagged, else the position of the object in the table, from 1.
    """
    from rasterio.features import rasterize

    shapes = [(one, number) for number, one in enumerate(objects.geometry, 1)]
    if not shapes:
        return np.zeros(tuple(grid.shape), np.int32)
    return np.asarray(rasterize(shapes, tuple(grid.shape), transform=grid.transform, dtype="int32"))


def _equal_area_cva(result: ChangeResult, ground: _Ground, pixels: int) -> Measures | None:
    """Measure change vectors of the same area, made into objects as those of the result are."""
    found = change_vector_groups(result, ground.counted, pixels)
    if found is None:
        return None
    score, groups = found
    # objects are counted alike only when they are cut alike
    labels = split_by_kind(groups, result.before, result.after, min_pixels=_smallest(result))
    background = robust_thresholds(score)
    return ground.measures(score, (background.median, background.mad), labels > 0, labels)


def change_vector_groups(
    result: ChangeResult, counted: NDArray[np.bool_], pixels: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
    """Flag as much by change vector analysis, with the smoothing and the smallest object of a result.

    Parameters
    ----------
    result : ChangeResult
        With the images that were compared.
    counted : ndarray of bool, shape (y, x)
        Where there are labels.
    pixels : int
        How many are to be flagged.

    Returns
    -------
    tuple of ndarray of float32 and ndarray of int32, each of shape (y, x), or None
        Score and connected groups, 0 = not flagged; None where nothing can be scored.
    """
    judged = np.isfinite(result.score) & counted
    seen = judged & np.isfinite(result.before.data).all(axis=0) & np.isfinite(result.after.data).all(axis=0)
    if not seen.any():
        return None
    detector = result.parameters.get("detector", {})
    smoothing = detector.get("smoothing_px", _USUAL_SMOOTHING_PX) or _USUAL_SMOOTHING_PX
    parameters = CvaParameters(tuple(smoothing))
    images = np.nan_to_num(result.before.data), np.nan_to_num(result.after.data)
    score = cva_score(*images, seen, _weights(result), parameters)
    return score, flag_equal_area(score, pixels, _smallest(result))


def _smallest(result: ChangeResult) -> float:
    """Return the smallest object of a result, in pixels."""
    pixel_m2 = float(np.prod(pixel_size_m(result.grid)))
    return float(result.detection_floor.get("min_area_m2", pixel_m2)) / pixel_m2


def _weights(result: ChangeResult) -> tuple[float, ...]:
    """Return the weights with which the bands were compared; the usual ones when the record does not say."""
    bands = result.before.bands
    for key in ("weight_of_band", "band_weights"):
        said = result.parameters.get(key)
        if isinstance(said, Mapping) and set(bands) <= set(said):
            return tuple(float(said[name]) for name in bands)
    return change_weights(bands)


def _calibration(
    objects: gpd.GeoDataFrame, labels: NDArray[np.int32], changed: NDArray[np.bool_]
) -> Calibration:
    confidence = np.asarray(objects["confidence"], str)
    touching = np.zeros(len(objects), bool)
    found = touched_objects(labels, changed)
    touching[: found.size] = found
    shown = np.isin(np.arange(1, len(objects) + 1), labels)
    return Calibration(
        MappingProxyType({level: int((shown & (confidence == level)).sum()) for level in CONFIDENCE_LEVELS}),
        MappingProxyType(
            {level: int((touching & (confidence == level)).sum()) for level in CONFIDENCE_LEVELS}
        ),
    )
