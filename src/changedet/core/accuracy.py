"""How well a score ranks, and a decision separates, what is labelled as changed: pixels and objects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.components import label_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Lower ends of the size classes of labelled objects, in pixels; each ends where the next begins.
SIZE_CLASSES_PX: tuple[int, ...] = (1, 10, 25, 50, 100)
#: A labelled object counts as found when this share of its area is flagged.
FOUND_SHARE = 0.3
#: Sorts below every number, minus infinity among them: a pixel that was not judged ranks last.
_LAST = np.int64(np.iinfo(np.int32).min)
_Z_95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class Ranking:
    """What would be flagged at every threshold that a score allows.

    Attributes
    ----------
    thresholds : ndarray of float32, shape (n,)
        The different values of the score, highest first; NaN, the last one, stands for pixels not judged.
    hits, false_alarms : ndarray of int64, shape (n,)
        Changed and unchanged pixels whose score is at least the threshold.
    """

    thresholds: NDArray[np.float32]
    hits: NDArray[np.int64]
    false_alarms: NDArray[np.int64]

    @property
    def changed(self) -> int:
        """Number of changed pixels."""
        return int(self.hits[-1]) if self.hits.size else 0

    @property
    def unchanged(self) -> int:
        """Number of unchanged pixels."""
        return int(self.false_alarms[-1]) if self.hits.size else 0

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the flagged pixels that are changed, at every threshold."""
        return np.asarray(self.hits / (self.hits + self.false_alarms), np.float64)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the changed pixels that are flagged, at every threshold; NaN when none is changed."""
        return np.asarray(self.hits / (self.changed or math.nan), np.float64)

    @property
    def false_alarm_rate(self) -> NDArray[np.float64]:
        """Share of the unchanged pixels that are flagged, at every threshold; NaN when none is unchanged."""
        return np.asarray(self.false_alarms / (self.unchanged or math.nan), np.float64)


def rank_pixels(changed: NDArray[np.bool_], score: NDArray[np.float32]) -> Ranking:
    """Count, for every threshold on a score, how many changed and unchanged pixels it flags.

    Parameters
    ----------
    changed : ndarray of bool, any shape
        The truth.
    score : ndarray of float32, same shape
        Higher = more likely changed; NaN = not judged, which ranks last. Equal scores are one threshold.

    Returns
    -------
    Ranking
        Empty for arrays without pixels.

    Raises
    ------
    ValueError
        When the shapes disagree.

    Examples
    --------
    >>> ranking = rank_pixels(np.array([True, False, True]), np.float32([3, 1, 1]))
    >>> ranking.hits.tolist(), ranking.false_alarms.tolist()
    ([1, 2], [0, 1])
    """
    if changed.shape != score.shape:
        message = f"shapes disagree: truth {changed.shape}, score {score.shape}"
        raise ValueError(message)
    # integers of the same order as the floats, with the truth as last bit: one fast sort serves both
    bits = (np.ravel(score).astype(np.float32) + np.float32(0)).view(np.int32)
    order = np.where(np.isnan(np.ravel(score)), _LAST, bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))
    keys = np.sort((order.astype(np.int64) << 1) | np.ravel(changed))[::-1]
    values, truth = keys >> 1, keys & 1
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], np.ones(min(values.size, 1), bool)))
    hits = np.cumsum(truth)[ends]
    return Ranking(_floats(values[ends]), hits, ends + 1 - hits)


def _floats(order: NDArray[np.int64]) -> NDArray[np.float32]:
    bits = order.astype(np.int32)
    found = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
    return np.where(order == _LAST, np.float32(np.nan), found).astype(np.float32)


def area_under_roc(ranking: Ranking) -> float:
    """Return the area under the curve of recall over the false alarm rate, ties joined by a straight line.

    It is the share of pairs of a changed and an unchanged pixel of which the changed one scores higher
    (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Parameters
    ----------
    ranking : Ranking
        From `rank_pixels`.

    Returns
    -------
    float
        0 to 1, 0.5 for chance; NaN unless there are changed and unchanged pixels.

    Examples
    --------
    >>> area_under_roc(rank_pixels(np.array([1, 0, 1, 0], bool), np.float32([4, 3, 2, 1])))
    0.75
    """
    if not (ranking.changed and ranking.unchanged):
        return math.nan
    recall = np.append(0.0, ranking.recall)
    return float(np.sum(np.diff(ranking.false_alarm_rate, prepend=0.0) * (recall[1:] + recall[:-1]) / 2))


def average_precision(ranking: Ranking) -> float:
    """Return the mean of the precision over the recall that each threshold adds, without interpolation.

    Davis and Goadrich 2006 (doi:10.1145/1143844.1143874) say why no straight line joins its points.

    Parameters
    ----------
    ranking : Ranking
        From `rank_pixels`.

    Returns
    -------
    float
        0 to 1; chance gives the share of changed pixels. NaN when none is changed.

    Examples
    --------
    >>> round(average_precision(rank_pixels(np.array([1, 0, 1, 0], bool), np.float32([4, 3, 2, 1]))), 4)
    0.8333
    """
    if not ranking.changed:
        return math.nan
    return float(np.sum(np.diff(ranking.recall, prepend=0.0) * ranking.precision))


def best_f1(ranking: Ranking) -> tuple[float, float]:
    """Return the best F1 that a single threshold on the score could reach, and that threshold.

    Nobody knows this threshold without the truth: it bounds what a better decision could gain.

    Parameters
    ----------
    ranking : Ranking
        From `rank_pixels`.

    Returns
    -------
    tuple of float
        F1, and the threshold in units of the score; NaN when no pixel is changed.
    """
    if not ranking.changed:
        return math.nan, math.nan
    f1 = 2 * ranking.hits / (ranking.hits + ranking.false_alarms + ranking.changed)
    best = int(np.argmax(f1))
    return float(f1[best]), float(ranking.thresholds[best])


@dataclass(frozen=True)
class PixelCounts:
    """A decision set against the truth; counts of several sites can be added.

    Attributes
    ----------
    hits, false_alarms, misses, others : int
        Flagged and changed; flagged only; changed only; neither.
    """

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    others: int = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.others + other.others,
        )

    @property
    def precision(self) -> float:
        """Share of the flagged pixels that are changed; 0 when none is flagged."""
        return self.hits / max(self.hits + self.false_alarms, 1)

    @property
    def recall(self) -> float:
        """Share of the changed pixels that are flagged; NaN when none is changed."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN when no pixel is changed."""
        flagged_and_changed = 2 * self.hits + self.false_alarms + self.misses
        return 2 * self.hits / flagged_and_changed if self.hits + self.misses else math.nan

    @property
    def iou(self) -> float:
        """Intersection over union of flagged and changed; NaN when no pixel is changed."""
        union = self.hits + self.false_alarms + self.misses
        return self.hits / union if self.hits + self.misses else math.nan

    @property
    def changed_share(self) -> float:
        """Share of the pixels that are changed; NaN without pixels."""
        return self._share(self.hits + self.misses)

    @property
    def flagged_share(self) -> float:
        """Share of the pixels that are flagged; NaN without pixels."""
        return self._share(self.hits + self.false_alarms)

    def _share(self, count: int) -> float:
        pixels = self.hits + self.false_alarms + self.misses + self.others
        return count / pixels if pixels else math.nan


def count_pixels(changed: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> PixelCounts:
    """Set a decision against the truth, pixel by pixel.

    Parameters
    ----------
    changed, flagged : ndarray of bool, same shape
        The truth, and the decision.

    Returns
    -------
    PixelCounts

    Examples
    --------
    >>> count_pixels(np.array([True, True, False]), np.array([True, False, True]))
    PixelCounts(hits=1, false_alarms=1, misses=1, others=0)
    """
    both = int(np.count_nonzero(changed & flagged))
    only_flagged = int(np.count_nonzero(flagged)) - both
    missed = int(np.count_nonzero(changed)) - both
    return PixelCounts(both, only_flagged, missed, changed.size - both - only_flagged - missed)


@dataclass(frozen=True)
class ObjectCounts:
    """Flagged objects set against labelled ones; counts of several sites can be added.

    Attributes
    ----------
    labelled, found : tuple of int
        Labelled objects by size class, `SIZE_CLASSES_PX`, and those of them that were found.
    flagged, touching : int
        Flagged objects, and those of them that hold a changed pixel.
    area_km2 : float
        Ground on which they were sought.
    """

    labelled: tuple[int, ...] = (0,) * len(SIZE_CLASSES_PX)
    found: tuple[int, ...] = (0,) * len(SIZE_CLASSES_PX)
    flagged: int = 0
    touching: int = 0
    area_km2: float = 0.0

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(
            tuple(a + b for a, b in zip(self.labelled, other.labelled, strict=True)),
            tuple(a + b for a, b in zip(self.found, other.found, strict=True)),
            self.flagged + other.flagged,
            self.touching + other.touching,
            self.area_km2 + other.area_km2,
        )

    def recall(self, *size_classes: int) -> float:
        """Return the share of labelled objects that were found.

        Parameters
        ----------
        *size_classes : int
            Positions in `SIZE_CLASSES_PX`; all but the smallest class when none is given.

        Returns
        -------
        float
            NaN when there is no labelled object of these sizes.
        """
        wanted = size_classes or range(1, len(self.labelled))
        labelled = sum(self.labelled[i] for i in wanted)
        return sum(self.found[i] for i in wanted) / labelled if labelled else math.nan

    @property
    def precision(self) -> float:
        """Share of the flagged objects that touch a labelled change; NaN when none is flagged."""
        return self.touching / self.flagged if self.flagged else math.nan

    @property
    def false_per_km2(self) -> float:
        """Flagged objects that touch no labelled change, per square kilometre; NaN without ground."""
        return (self.flagged - self.touching) / self.area_km2 if self.area_km2 > 0 else math.nan


def count_objects(
    changed: NDArray[np.bool_], flagged: NDArray[np.int32], area_km2: float, found_share: float = FOUND_SHARE
) -> ObjectCounts:
    """Set flagged objects against labelled ones: 8-connected groups of changed pixels.

    Parameters
    ----------
    changed : ndarray of bool, shape (y, x)
        The truth.
    flagged : ndarray of int32, shape (y, x)
        0 = not flagged, then 1, 2, ... for the objects.
    area_km2 : float
        Ground on which objects were sought.
    found_share : float
        A labelled object counts as found when this share of its pixels is flagged, by whichever object.

    Returns
    -------
    ObjectCounts
    """
    _, found, statistics, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8), connectivity=8)
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    covered = np.bincount(found[(flagged > 0) & changed], minlength=len(statistics))[1:]
    kind = np.searchsorted(SIZE_CLASSES_PX, sizes, side="right") - 1
    is_found = covered >= found_share * sizes
    touching = touched_objects(flagged, changed)
    return ObjectCounts(
        tuple(np.bincount(kind, minlength=len(SIZE_CLASSES_PX)).tolist()),
        tuple(np.bincount(kind[is_found], minlength=len(SIZE_CLASSES_PX)).tolist()),
        len(np.unique(flagged[flagged > 0])),
        int(touching.sum()),
        area_km2,
    )


def touched_objects(flagged: NDArray[np.int32], changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which flagged objects hold a changed pixel.

    Parameters
    ----------
    flagged : ndarray of int32, shape (y, x)
        0 = not flagged, then 1, 2, ... for the objects.
    changed : ndarray of bool, shape (y, x)
        The truth.

    Returns
    -------
    ndarray of bool, shape (highest label,)
    """
    return np.bincount(flagged[changed], minlength=int(flagged.max(initial=0)) + 1)[1:] > 0


def flag_equal_area(score: NDArray[np.float32], pixels: int, min_pixels: float = 1.0) -> NDArray[np.int32]:
    """Flag the highest scores so that the groups which are large enough cover a given area.

    Two methods are compared fairly when both flag the same area: the threshold is then no longer a part of
    the comparison.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN = not judged, which is never flagged.
    pixels : int
        Area wanted; the largest area not above it is flagged.
    min_pixels : float
        Smaller 8-connected groups are dropped, and do not count.

    Returns
    -------
    ndarray of int32, shape (y, x)
        0 = not flagged, then 1, 2, ...

    Examples
    --------
    >>> flag_equal_area(np.float32([[9, 8, 1, 7, 1]]), 2, min_pixels=2)
    array([[1, 1, 0, 0, 0]], dtype=int32)
    """
    judged = np.sort(score[np.isfinite(score)])[::-1]
    # a lower threshold only ever lets groups grow, so that the area kept can be bisected
    low, high = 0, judged.size
    while low < high:
        middle = (low + high + 1) // 2
        if _kept_pixels(score >= judged[middle - 1], min_pixels) <= pixels:
            low = middle
        else:
            high = middle - 1
    flagged = score >= judged[low - 1] if low else np.zeros(score.shape, bool)
    return label_components(flagged, flagged, min_pixels=min_pixels)


def _kept_pixels(flagged: NDArray[np.bool_], min_pixels: float) -> int:
    statistics = cv2.connectedComponentsWithStats(flagged.astype(np.uint8), connectivity=8)[2]
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    return int(sizes[sizes >= min_pixels].sum())


def wilson_interval(found: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was counted in a sample, after Wilson.

    Wilson 1927, doi:10.1080/01621459.1927.10502953. Unlike the simple one it holds for few and for extreme
    counts.

    Parameters
    ----------
    found, count : int
        Of so many, so many were it.

    Returns
    -------
    tuple of float
        Lower and upper end, within 0 and 1; both NaN when nothing was counted.

    Examples
    --------
    >>> [round(end, 3) for end in wilson_interval(8, 10)]
    [0.49, 0.943]
    """
    if not count:
        return math.nan, math.nan
    share, squared = found / count, _Z_95**2
    centre = share + squared / (2 * count)
    half = _Z_95 * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    scale = 1 + squared / count
    # rounding must not put the share itself outside
    low, high = (centre - half) / scale, (centre + half) / scale
    return max(0.0, min(share, low)), min(1.0, max(share, high))


def thinned(x: NDArray[np.float64], y: NDArray[np.float64], points: int) -> list[tuple[float, float]]:
    """Return a curve with few points, its ends among them, for drawing.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        The curve; x does not fall.
    points : int
        About how many to keep, evenly spread over x.

    Returns
    -------
    list of (x, y)
        Points of the curve itself.
    """
    if not x.size:
        return []
    wanted = np.linspace(float(x[0]), float(x[-1]), points)
    index = np.unique(np.append(np.minimum(np.searchsorted(x, wanted), x.size - 1), [0, x.size - 1]))
    return [(float(a), float(b)) for a, b in zip(x[index], y[index], strict=True)]
