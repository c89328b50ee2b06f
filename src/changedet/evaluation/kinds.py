"""What the kind of change is worth beside a truth: rankings by likeness to construction and by the score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.accuracy import average_precision, rank_pixels, touched_objects
from changedet.kinds import KIND_LABELS, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.evaluation.measures import Measures
    from changedet.result import ChangeResult

#: What both rankings have a figure of.
COMPARED = ("average_precision", "object_average_precision", "object_precision")


@dataclass(frozen=True, eq=False)
class RankedObjects:
    """Flagged objects beside a truth.

    Attributes
    ----------
    touching : ndarray of bool, shape (object,)
        Which of them hold a changed pixel.
    score, construction : ndarray of float32, shape (object,)
        What ranks them, in robust standard deviations above the background of the score of their scene.
    is_construction : ndarray of bool, shape (object,)
        Which of them are of the kind construction.
    """

    touching: NDArray[np.bool_]
    score: NDArray[np.float32]
    construction: NDArray[np.float32]
    is_construction: NDArray[np.bool_]

    def by_score(self) -> dict[str, float]:
        """Return the figures of all objects, ranked by the score."""
        return _object_rates(self.touching, self.score)

    def by_construction(self) -> dict[str, float]:
        """Return the figures of the objects of kind construction, ranked by their likeness to it."""
        chosen = self.is_construction
        return _object_rates(self.touching[chosen], self.construction[chosen])

    def leading_precision(self) -> float:
        """Return the share that touches a label of as many objects as there are of kind construction.

        Returns
        -------
        float
            Of those of highest score, of whatever kind; NaN when none is of kind construction.
        """
        many = int(self.is_construction.sum())
        leading = np.argsort(-self.score, kind="stable")[:many]
        return float(self.touching[leading].mean()) if many else math.nan


@dataclass(frozen=True, eq=False)
class KindMeasures:
    """Pixels and objects of a site, or of several, ranked by the score and by likeness to construction.

    Attributes
    ----------
    changed : ndarray of bool, shape (n,)
        The truth of every labelled pixel.
    score, construction : ndarray of float32, shape (n,)
        ``score.tif`` and ``construction.tif`` of these pixels, in robust standard deviations above the
        background of the score; NaN = not judged.
    first : ndarray of bool, shape (n,)
        Pixels of candidates of kind construction.
    objects : RankedObjects
        The candidates themselves.
    """

    changed: NDArray[np.bool_]
    score: NDArray[np.float32]
    construction: NDArray[np.float32]
    first: NDArray[np.bool_]
    objects: RankedObjects

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of both rankings.

        Returns
        -------
        dict
            ``by_score`` and ``by_construction`` with the figures of `COMPARED`, and ``counts``. Average
            precision of objects is over the ranked list itself: what no object touches does not count.
            JSON-serialisable but for NaN, which stands where the truth does not allow a figure.
        """
        objects = self.objects
        by_construction = {
            "average_precision": _ap(self.changed, self.construction),
            "candidates_first_average_precision": _ap(self.changed, self._candidates_first()),
            **objects.by_construction(),
        }
        return {
            "by_score": {
                "average_precision": _ap(self.changed, self.score),
                **objects.by_score(),
                "object_precision_of_as_many": objects.leading_precision(),
            },
            "by_construction": by_construction,
            "counts": {
                "objects": int(objects.touching.size),
                "construction_objects": int(objects.is_construction.sum()),
            },
        }

    def _candidates_first(self) -> NDArray[np.float32]:
        """Rank candidates of kind construction before everything else, and all by their likeness to it."""
        known = self.construction[np.isfinite(self.construction)]
        lift = np.float32(np.ptp(known) + 1) if known.size else np.float32(0)
        return np.asarray(self.construction + lift * self.first, np.float32)


def measure_kinds(
    result: ChangeResult, method: Measures, labels: NDArray[np.int32], grounds: Sequence[NDArray[np.bool_]]
) -> KindMeasures | None:
    """Rank the pixels and the objects of a result by its score and by their likeness to construction.

    Parameters
    ----------
    result : ChangeResult
        Of a comparison, or from a run folder.
    method : Measures
        Of the score of the result.
    labels : ndarray of int32, shape (y, x)
        0 = not flagged or not labelled, else the position of the object in the table, from 1.
    grounds : sequence of two ndarray of bool, shape (y, x)
        What changed, and where there are labels.

    Returns
    -------
    KindMeasures or None
        None where the likeness to construction is not known: of radar alone, and of runs of earlier versions.
    """
    if result.construction is None or result.radar_alone:
        return None
    changed, counted = grounds
    table = result.objects
    shown = np.isin(np.arange(1, len(table) + 1), labels)
    touching = np.zeros(len(table), bool)
    found = touched_objects(labels, changed)
    touching[: found.size] = found
    of_kind = np.asarray(table["kind"].astype(str) == KIND_LABELS[Kind.CONSTRUCTION], bool)
    score, construction = (
        method.in_mads(np.asarray(table[name], np.float32)[shown]) for name in ("score", "construction")
    )
    objects = RankedObjects(touching[shown], score, construction, of_kind[shown])
    return KindMeasures(
        method.changed,
        method.mads(),
        method.in_mads(result.construction[counted]),
        np.append(False, of_kind)[labels][counted],
        objects,
    )


def pool_kinds(kinds: Sequence[KindMeasures]) -> KindMeasures:
    """Put several sites together as if they were one.

    Parameters
    ----------
    kinds : sequence of KindMeasures
        At least one.

    Returns
    -------
    KindMeasures
    """
    objects = [one.objects for one in kinds]
    together = RankedObjects(
        np.concatenate([one.touching for one in objects]),
        np.concatenate([one.score for one in objects]),
        np.concatenate([one.construction for one in objects]),
        np.concatenate([one.is_construction for one in objects]),
    )
    return KindMeasures(
        np.concatenate([one.changed for one in kinds]),
        np.concatenate([one.score for one in kinds]),
        np.concatenate([one.construction for one in kinds]),
        np.concatenate([one.first for one in kinds]),
        together,
    )


def _object_rates(touching: NDArray[np.bool_], rank: NDArray[np.float32]) -> dict[str, float]:
    return {
        "object_average_precision": _ap(touching, rank),
        "object_precision": float(touching.mean()) if touching.size else math.nan,
    }


def _ap(true: NDArray[np.bool_], rank: NDArray[np.float32]) -> float:
    return average_precision(rank_pixels(true, rank))
