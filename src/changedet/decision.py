"""From scores to what is flagged: thresholds, outlines, what must differ by enough, and what is set aside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import SENTINEL2_BANDS
from changedet.core.components import label_components
from changedet.core.planes import by_rows, values_where, with_nan
from changedet.core.smoothing import smooth_score
from changedet.objects import Flagged, construction_map, split_by_kind
from changedet.radar.fusion import fused_score
from changedet.resample import pixel_size_m
from changedet.seasonal import SetAside, set_seasonal_aside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.comparison import DetectSettings
    from changedet.core.prediction import Prediction
    from changedet.core.threshold import Thresholds
    from changedet.deciders import Decider, Deciders, Evidence
    from changedet.scene import Image

#: Bands in reflectance, of which it is known how much contrast is little.
REFLECTANCE_BANDS = frozenset(band.name for band in SENTINEL2_BANDS)
#: Objects are outlined on the score at this scale alone, in pixels.
_OUTLINE_SMOOTHING_PX = (1.0,)
#: Images in other units than reflectance are measured by their own spread: so large is it in reflectance.
_USUAL_SPREAD_REFLECTANCE = 0.08


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a pair with their thresholds: all that is slow about a decision.

    Attributes
    ----------
    fine : ndarray of float32, shape (y, x)
        Shows the outlines of changes.
    score : ndarray of float32, shape (y, x)
        Decides; NaN = not judged.
    thresholds : Thresholds
        Of that score.
    second_score : ndarray of float32, shape (y, x)
        Of the detector that is asked for a second opinion.
    second_thresholds : Thresholds
        Of that score.
    sharp : ndarray of float32, shape (y, x), or None
        Shows what is small, where there is such a score.
    sharp_thresholds : Thresholds or None
        Of that score.
    """

    fine: NDArray[np.float32]
    score: NDArray[np.float32]
    thresholds: Thresholds
    second_score: NDArray[np.float32]
    second_thresholds: Thresholds
    sharp: NDArray[np.float32] | None = None
    sharp_thresholds: Thresholds | None = None


def score_evidence(evidence: Evidence, learn: NDArray[np.bool_], deciders: Deciders) -> Scored:
    """Score a pair, and find what its scores have to rise above.

    Parameters
    ----------
    evidence : Evidence
        What is known of the pair.
    learn : ndarray of bool, shape (y, x)
        True for ground that teaches what is normal.
    deciders : Deciders
        Whose scores these are.

    Returns
    -------
    Scored
    """

    def _taught(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        # what is not usable has no score anyway
        return plane if learn is evidence.usable else with_nan(plane, learn)

    fine, score = deciders.first.scores(evidence)
    if evidence.radar is not None:
        score = fused_score(score, evidence.radar)
    _, second_score = deciders.second.scores(evidence)
    sharp = deciders.first.sharp_score(evidence)
    return Scored(
        fine=fine,
        score=score,
        thresholds=deciders.first.thresholds(_taught(score)),
        second_score=second_score,
        second_thresholds=deciders.second.thresholds(second_score),
        sharp=sharp,
        sharp_thresholds=None if sharp is None else deciders.first.thresholds(_taught(sharp)),
    )


def flag_scored(
    scored: Scored,
    evidence: Evidence,
    judged: NDArray[np.bool_],
    settings: DetectSettings,
    deciders: Deciders,
) -> Flagged:
    """Flag what stands out of scores, and set aside what season alone could have made.

    Parameters
    ----------
    scored : Scored
        From `score_evidence`.
    evidence : Evidence
        What was scored.
    judged : ndarray of bool, shape (y, x)
        True for ground on which something may be flagged.
    settings : DetectSettings
        Smallest object, budget, least contrast.
    deciders : Deciders
        Who draws the outlines.

    Returns
    -------
    Flagged
    """
    before, after = evidence.before, evidence.after
    usable = by_rows(lambda part, score: part & np.isfinite(score), judged, scored.score, dtype=bool)
    if settings.budget is None:
        grow, seeds = _standing_out(scored, evidence, usable, deciders.first, settings)
    else:
        grow = seeds = leading_pixels(scored.score, usable, settings.budget)
    least = min_pixels(before, settings)
    labels = label_components(grow, seeds, min_pixels=least)
    labels = split_by_kind(labels, before, after, min_pixels=least)
    found = SetAside.nothing_of(labels)
    if deciders.first.passes_over_seasons and settings.budget is None:
        found = set_seasonal_aside(labels, seeds, (before, after), least)
    if settings.keep_seasonal:
        found = found.kept()
    score = with_nan(scored.score, judged)
    return Flagged(
        labels=found.flagged,
        score=score,
        thresholds=scored.thresholds,
        second_score=scored.second_score,
        second_thresholds=scored.second_thresholds,
        observed=evidence.usable,
        opinions=deciders.opinions,
        construction=construction_map(score, before, after),
        seasonal=found.seasonal,
    )


def at_seed(thresholds: Thresholds, factor: float) -> Thresholds:
    """Return thresholds that lie so many times as far above the background as these do.

    Parameters
    ----------
    thresholds : Thresholds
        Finite.
    factor : float
        1 changes nothing.

    Returns
    -------
    Thresholds
        With the same background, and objects that grow to the same share of what starts them.

    Examples
    --------
    >>> from changedet.core.threshold import Thresholds
    >>> at_seed(Thresholds(1.0, 0.5, 6.0, 3.5), 2.0)
    Thresholds(median=1.0, mad=0.5, seed=11.0, grow=6.0)
    """
    median = thresholds.median
    seed, grow = (median + factor * (one - median) for one in (thresholds.seed, thresholds.grow))
    return replace(thresholds, seed=seed, grow=grow)


def _standing_out(
    scored: Scored,
    evidence: Evidence,
    usable: NDArray[np.bool_],
    decider: Decider,
    settings: DetectSettings,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what objects may consist of, and which pixels of it make it an object."""
    thresholds, contrast = scored.thresholds, evidence.prediction.contrast
    outline = decider.outline(smooth_score(scored.fine, evidence.usable, _OUTLINE_SMOOTHING_PX))
    least = least_contrast(evidence.before, evidence.prediction, settings)
    grow = by_rows(
        lambda part, drawn, score, differs: (
            part & drawn & (score > thresholds.grow) & (differs >= least[1])
        ),
        usable, outline, scored.score, contrast,
        dtype=bool,
    )  # fmt: skip
    seeds = by_rows(
        lambda part, score, differs: part & (score > thresholds.seed) & (differs >= least[0]),
        grow, scored.score, contrast,
        dtype=bool,
    )  # fmt: skip
    if scored.sharp is not None and scored.sharp_thresholds is not None:
        limit = scored.sharp_thresholds.seed
        sharp = by_rows(lambda part, score: part & (score > limit), grow, scored.sharp, dtype=bool)
        by_rows(np.logical_or, seeds, _differing(evidence, sharp, settings), dtype=bool, out=seeds)
    return grow, seeds


def _differing(evidence: Evidence, where: NDArray[np.bool_], settings: DetectSettings) -> NDArray[np.bool_]:
    """Return which of some pixels differ by enough, also as a share of what they reflect."""
    index = [i for i, weight in enumerate(evidence.weights) if weight > 0]
    weights = np.array(evidence.weights, np.float32)[index] / np.float32(sum(evidence.weights))
    hazes = evidence.before.haze[index], evidence.after.haze[index]
    least = np.float32(least_contrast(evidence.before, evidence.prediction, settings)[0])
    share = np.float32(settings.threshold.seed_contrast_share)

    def _differs(
        asked: NDArray[np.bool_], contrast: NDArray[np.float32], *images: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        brightest = np.zeros(int(np.count_nonzero(asked)), np.float32)
        for image, haze in zip(images, hazes, strict=True):
            pixels = np.stack([image[i][asked] for i in index]) - haze[:, None]
            np.maximum(
                brightest, np.einsum("b,bp->p", weights, np.maximum(pixels, np.float32(0))), out=brightest
            )
        found = asked.copy()
        found[asked] = contrast[asked] >= np.maximum(least, share * brightest)
        return found

    planes = evidence.prediction.contrast, evidence.before.data, evidence.after.data
    return by_rows(_differs, where, *planes, dtype=bool)


def leading_pixels(score: NDArray[np.float32], judged: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Return the given share of the judged pixels, those of highest score."""
    values = values_where(judged, score)
    if not values.size:
        return judged
    limit = np.quantile(values, 1 - share, method="higher")
    return by_rows(lambda part, one: part & (one > limit), judged, score, dtype=bool)


def least_contrast(image: Image, prediction: Prediction, settings: DetectSettings) -> tuple[float, float]:
    """Return the least contrast of the seed of an object and of the rest of it, in the unit of the image."""
    unit = 1.0 if set(image.bands) <= REFLECTANCE_BANDS else prediction.spread / _USUAL_SPREAD_REFLECTANCE
    return unit * settings.threshold.seed_contrast, unit * settings.threshold.grow_contrast


def min_pixels(image: Image, settings: DetectSettings) -> float:
    """Return how many pixels of an image the smallest object has."""
    return min_area_m2(image, settings) / float(np.prod(pixel_size_m(image.grid)))


def min_area_m2(image: Image, settings: DetectSettings) -> float:
    """Return the area of the smallest object in square metres, never less than a pixel."""
    return max(settings.min_area_m2, float(np.prod(pixel_size_m(image.grid))))
