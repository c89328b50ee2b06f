"""Radar beside an optical comparison: a score that both shaped, objects of either, and who flagged what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.components import label_components
from changedet.core.context import window_deviations
from changedet.core.radar_stack import Direction
from changedet.core.smoothing import smooth_score
from changedet.kinds import Kind
from changedet.radar.types import FoundBy, SensorChoice
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import geopandas as gpd
    from numpy.typing import NDArray

    from changedet.objects import Flagged
    from changedet.radar.types import RadarEvidence
    from changedet.scene import Image

#: Radar is smoothed at this scale before it weighs a score, in pixels, and counts up to so many deviations.
_SMOOTHING_PX, _MOST_WEIGHED = (1.5,), 10.0
#: Radar has a say of an object when the mean over it lies so many robust standard deviations from the means
#: of windows of its size, and has changed by so many decibels.
STANDS_OUT_DEVIATIONS, STANDS_OUT_DB = 3.0, 1.0
#: Radar pixels nearer to an object than this are its edge, in pixels; a group of which so much is the edge of
#: objects is no object of its own.
_APART_PX, _MOST_AT_EDGES = 2, 0.5
#: Deviations from which a change that radar alone flags is clear, as of an optical score.
_CLEAR_DEVIATIONS = 12.0

#: Which way radar goes when a kind of change is what optical imagery makes it. Kinds that are not here go
#: either way: cleared ground is smooth or rough, crops and goods grow or go. Ground under new water is
#: expected to be darker, ground that water left brighter.
EXPECTED: Mapping[Kind, Direction] = MappingProxyType(
    {Kind.CONSTRUCTION: Direction.BRIGHTER, Kind.DEMOLITION: Direction.DARKER}
)

#: What radar alone is consistent with.
CONSISTENT_WITH: Mapping[Direction, str] = MappingProxyType(
    {
        Direction.BRIGHTER: "consistent with new structures",
        Direction.DARKER: "consistent with ground cleared, flooded or paved, or with something removed",
    }
)
_RAISED = MappingProxyType({"low": "medium", "medium": "high", "high": "high"})
_WORDS = MappingProxyType({Direction.BRIGHTER: "brighter", Direction.DARKER: "darker"})
#: What every object of radar says beside it.
RADAR_CAVEAT = "ships, cranes, vehicles, crops and wet ground change what radar sees as well"
#: What every object says where radar was asked as well and could not be used.
NO_RADAR_WORDS = "radar had nothing to compare"
#: What every object says of radar beside it where no track has enough passes.
UNTESTED_WORDS = "too few passes to test it, radar only ranks"


@dataclass(frozen=True, eq=False)
class RadarFinding:
    """Radar among what was flagged.

    Attributes
    ----------
    evidence : RadarEvidence
        On the grid of the labels.
    asked : SensorChoice
        `SensorChoice.S1` when radar alone was asked, else `SensorChoice.BOTH`.
    first_label : int
        Labels from this one on were flagged by radar alone.
    """

    evidence: RadarEvidence
    asked: SensorChoice
    first_label: int


@dataclass(frozen=True)
class RadarOpinion:
    """What radar says of one object.

    Attributes
    ----------
    sensor : FoundBy
        Who flagged it.
    change_db, deviations : float
        Means over the object; NaN where radar did not judge.
    sentence : str
        The same for a reader.
    tested : bool
        Whether there were passes enough to test, and not only to rank.
    """

    sensor: FoundBy
    change_db: float
    deviations: float
    sentence: str
    tested: bool = True

    @property
    def alone(self) -> bool:
        """Whether radar flagged it and no optical image did."""
        return self.sensor in (FoundBy.RADAR, FoundBy.RADAR_ONLY)

    def confidence(self, optical: str) -> str:
        """Return the confidence that follows from both sensors.

        Parameters
        ----------
        optical : str
            That of the optical comparison: low or medium.

        Returns
        -------
        str
            High only where optical imagery shows it clearly and a test of radar agrees; low where they
            conflict, and where radar alone has only ranked.
        """
        if self.alone:
            return "medium" if self.tested and abs(self.deviations) >= _CLEAR_DEVIATIONS else "low"
        if self.sensor is FoundBy.CONFLICTING:
            return "low"
        if self.sensor is FoundBy.BOTH:
            return _RAISED[optical] if self.tested else optical
        return optical


def fused_score(score: NDArray[np.float32], evidence: RadarEvidence) -> NDArray[np.float32]:
    """Weigh an optical score by how much radar changed.

        fused = score ((1 + s) / (1 + median of s)) ^ exponent,    s = |deviations|, smoothed, at most 10

    Radar is a weak witness of construction: it moves ranks, and by little. Where radar did not judge, the
    score stays as it is, and so does all of a score that can be negative, such as log odds.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN = not judged.
    evidence : RadarEvidence
        On the same grid; its settings hold the exponent.

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where the score is.
    """
    exponent, judged = evidence.settings.fusion_exponent, np.isfinite(evidence.deviations)
    if exponent == 0 or not judged.any() or np.nanmin(score, initial=0.0) < 0:
        return score
    strength = np.minimum(_strength(evidence), np.float32(_MOST_WEIGHED))
    usual = 1 + float(np.median(strength[judged]))
    factor = ((1 + np.where(judged, strength, usual - 1)) / usual) ** exponent
    return np.asarray(score * factor, np.float32)


def judged_by_radar(evidence: RadarEvidence) -> NDArray[np.bool_]:
    """Return where radar by itself says flagged or not flagged, shape (y, x)."""
    return np.isfinite(evidence.deviations) & evidence.tested


def least_pixels(evidence: RadarEvidence, min_pixels: float) -> float:
    """Return the smallest group of pixels that radar flags by itself.

    As many as the square over which power is averaged: neighbours share it, so that one bright pixel makes
    several flagged ones.

    Parameters
    ----------
    evidence : RadarEvidence
        Its settings hold the side of the square.
    min_pixels : float
        What the settings of the comparison ask for.
    """
    return max(min_pixels, float(evidence.settings.multilook_px**2))


def add_radar(
    flagged: Flagged, evidence: RadarEvidence, state: NDArray[np.uint8], min_pixels: float
) -> Flagged:
    """Add what radar alone flags to what an optical comparison flagged.

    Parameters
    ----------
    flagged : Flagged
        Of the optical comparison.
    evidence : RadarEvidence
        On the same grid.
    state : ndarray of uint8, shape (y, x)
        `State` codes of the optical comparison: radar objects lie where it did not flag or not observe.
    min_pixels : float
        Smallest object.

    Returns
    -------
    Flagged
        With more labels. Where optical images did not observe and radar judged, the score is the optical
        background plus as many of its deviations as radar deviates, so that one scale ranks all objects.
        Of what optical images set aside as season, radar makes no object: crops change both.
    """
    blind = judged_by_radar(evidence) & (state == State.NOT_OBSERVED)
    background = flagged.thresholds
    step = background.mad if background.mad > 0 else 1.0
    base = background.median if np.isfinite(background.median) else 0.0
    stand_in = np.where(blind, base + step * _strength(evidence), np.float32(np.nan)).astype(np.float32)
    open_to_radar = (state == State.NOT_FLAGGED) | blind
    taken = flagged.labels > 0 if flagged.seasonal is None else (flagged.labels > 0) | (flagged.seasonal > 0)
    own = _apart(taken, evidence.flagged & open_to_radar, least_pixels(evidence, min_pixels))
    own[taken] = 0
    first = int(flagged.labels.max(initial=0)) + 1
    weighed = flagged.construction
    return replace(
        flagged,
        labels=np.where(own > 0, own + np.int32(first - 1), flagged.labels).astype(np.int32),
        score=np.where(blind, stand_in, flagged.score),
        construction=None if weighed is None else np.where(blind, stand_in, weighed),
        radar=RadarFinding(evidence, SensorChoice.BOTH, first),
    )


def opinions_of(
    finding: RadarFinding,
    labels: NDArray[np.int32],
    kinds: Sequence[Kind],
    images: tuple[Image, Image],
) -> tuple[RadarOpinion, ...]:
    """Say of each object who flagged it, and what radar says.

    Of an optical object radar has a say when its mean stands out among windows of its size
    (`changedet.core.context.window_deviations`), or when it flags a quarter of the object by itself. The
    measure is the context, changes included: where much of it changed, less stands out.

    Parameters
    ----------
    finding : RadarFinding
        Evidence on the grid of the labels.
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...
    kinds : sequence of Kind
        Of each object, by optical imagery.
    images : tuple of two Image
        Before and after.

    Returns
    -------
    tuple of RadarOpinion
        One for each object.
    """
    evidence = finding.evidence
    change, deviations = (_means(labels, plane) for plane in (evidence.change_db, evidence.deviations))
    apart = window_deviations(evidence.deviations, labels)
    own = _means(labels, np.where(evidence.observed, evidence.flagged, np.nan).astype(np.float32))
    says = (np.abs(apart) >= STANDS_OUT_DEVIATIONS) | (own >= 0.25)
    says &= (np.abs(change) >= STANDS_OUT_DB) & np.isfinite(deviations)
    water = _water_gain(labels, *images)
    blind = ~_touches(labels, images)
    found = []
    for index, kind in enumerate(kinds):
        measured = float(change[index]), float(deviations[index])
        if index + 1 >= finding.first_label:
            found.append(_alone(finding.asked, *measured, unseen=bool(blind[index])))
        else:
            expected = _expected(kind, float(water[index]))
            found.append(_beside(*measured, says=bool(says[index]), expected=expected))
    return tuple(found) if evidence.tested else tuple(_untested(one) for one in found)


def without_radar(objects: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Say of objects that both sensors were asked, and that radar had nothing to compare.

    Parameters
    ----------
    objects : GeoDataFrame
        Of an optical comparison.

    Returns
    -------
    GeoDataFrame
        A copy: ``optical only`` as sensor, and the evidence says why.
    """
    said = [f"{text}; {NO_RADAR_WORDS}" if text else NO_RADAR_WORDS for text in objects["evidence"]]
    return objects.assign(sensor=[FoundBy.OPTICAL_ONLY.value] * len(objects), evidence=said)


def _strength(evidence: RadarEvidence) -> NDArray[np.float32]:
    """Return the length of the deviations, smoothed; NaN where radar did not judge."""
    judged = np.isfinite(evidence.deviations)
    return smooth_score(np.abs(evidence.deviations), judged, _SMOOTHING_PX)


def _apart(taken: NDArray[np.bool_], flagged: NDArray[np.bool_], min_pixels: float) -> NDArray[np.int32]:
    """Label the groups of flagged pixels that lie mostly apart from all objects, listed ones among them."""
    groups = label_components(flagged, flagged, min_pixels=min_pixels)
    if not groups.any():
        return groups
    size = 2 * _APART_PX + 1
    near = cv2.dilate(taken.astype(np.uint8), np.ones((size, size), np.uint8), borderValue=0) > 0
    pixels, at_edges, free = (
        np.bincount(part.ravel(), minlength=groups.max() + 1)
        for part in (groups, groups[near], groups[~taken])
    )
    # what is left of a group beside an object has to be large enough as well
    kept = np.flatnonzero((at_edges <= _MOST_AT_EDGES * pixels) & (free >= min_pixels))
    kept = kept[kept > 0]
    numbers = np.zeros(int(groups.max()) + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(numbers[groups], np.int32)


def _means(labels: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over each object of what is finite; NaN where nothing is."""
    count = int(labels.max(initial=0))
    seen = (labels > 0) & np.isfinite(values)
    sums = np.bincount(labels[seen], values[seen], count + 1)[1:]
    counts = np.bincount(labels[seen], minlength=count + 1)[1:]
    means = np.divide(sums, counts, out=np.full(count, np.nan), where=counts > 0)
    return np.asarray(means, np.float64)


def _touches(labels: NDArray[np.int32], images: tuple[Image, Image]) -> NDArray[np.bool_]:
    """Tell of which objects optical images saw anything."""
    seen = images[0].valid & images[1].valid
    return np.bincount(labels[seen], minlength=int(labels.max(initial=0)) + 1)[1:] > 0


def _water_gain(labels: NDArray[np.int32], before: Image, after: Image) -> NDArray[np.float64]:
    """Change of the water index (McFeeters 1996) over each object; NaN without its bands."""
    if not {"B03", "B08"} <= set(before.bands):
        return np.full(int(labels.max(initial=0)), np.nan)
    inside, planes = labels > 0, []
    for image in (before, after):
        green, infrared = image.band("B03")[inside], image.band("B08")[inside]
        planes.append((green - infrared) / np.maximum(green + infrared, np.float32(1e-6)))
    return _means(labels[inside], planes[1] - planes[0])


def _expected(kind: Kind, water_gain: float) -> Direction:
    if kind is Kind.WATER and water_gain != 0 and np.isfinite(water_gain):
        return Direction.DARKER if water_gain > 0 else Direction.BRIGHTER
    return EXPECTED.get(kind, Direction.NONE)


def _direction(change_db: float) -> Direction:
    return Direction.BRIGHTER if change_db > 0 else Direction.DARKER


def _measured(change_db: float, deviations: float) -> str:
    word = _WORDS[_direction(change_db)]
    # polarisations may go different ways, and then the test may go the other way than their mean
    against = "" if (deviations >= 0) == (change_db > 0) else "-"
    return f"{word} by {abs(change_db):.1f} dB ({against}{abs(deviations):.1f} standard deviations)"


def _alone(asked: SensorChoice, change_db: float, deviations: float, *, unseen: bool) -> RadarOpinion:
    said = f"radar: {_measured(change_db, deviations)}, {CONSISTENT_WITH[_direction(change_db)]}"
    if asked is SensorChoice.S1:
        return RadarOpinion(FoundBy.RADAR, change_db, deviations, said)
    optical = "optical images did not observe it" if unseen else "optical images do not flag it"
    return RadarOpinion(FoundBy.RADAR_ONLY, change_db, deviations, f"{said}; {optical}")


def _untested(opinion: RadarOpinion) -> RadarOpinion:
    """Say that radar could only rank, wherever it says anything of an object."""
    if not np.isfinite(opinion.deviations):
        return replace(opinion, tested=False)
    return replace(opinion, tested=False, sentence=f"{opinion.sentence}; {UNTESTED_WORDS}")


def _beside(change_db: float, deviations: float, *, says: bool, expected: Direction) -> RadarOpinion:
    if not np.isfinite(deviations):
        return RadarOpinion(FoundBy.OPTICAL_ONLY, np.nan, np.nan, "radar did not judge it")
    said = _measured(change_db, deviations)
    if not says:
        text = f"radar: {said}, which does not stand out"
        return RadarOpinion(FoundBy.OPTICAL_ONLY, change_db, deviations, text)
    direction = _direction(change_db)
    if expected in (Direction.NONE, direction):
        return RadarOpinion(FoundBy.BOTH, change_db, deviations, f"radar agrees: {said}")
    text = f"radar does not fit: {said}, {CONSISTENT_WITH[direction]}"
    return RadarOpinion(FoundBy.CONFLICTING, change_db, deviations, text)
