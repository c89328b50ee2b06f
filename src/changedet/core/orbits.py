"""Several relative orbits as one: their tests are combined, never their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import row_blocks, run_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.core.likelihood_ratio import LikelihoodRatio
    from changedet.core.t_test import TTest

#: Standard deviations beyond which a score is not told apart: the tail of the normal ends in float64.
MOST_DEVIATIONS = 37.0
#: P-values below this are taken again in float64: float32 ends at 14 standard deviations.
_LEAST_SINGLE = 1e-30


@dataclass(frozen=True, eq=False)
class OrbitScore:
    """What one relative orbit says, in standard deviations.

    Attributes
    ----------
    deviations : ndarray of float32, shape (channel, y, x)
        Standard normal where nothing changed; positive where brighter; NaN where the orbit did not judge. A
        channel is a polarisation, or all of them together.
    weight : ndarray of float32, shape (channel, y, x)
        How much the orbit knows: degrees of freedom, or dates. Not used where there is no judgement.
    """

    deviations: NDArray[np.float32]
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CombinedOrbits:
    """The outcome of `combine_orbits`.

    Attributes
    ----------
    deviations : ndarray of float32, shape (channel, y, x)
        Combined over orbits; positive where brighter, NaN where no orbit judged.
    p_value : ndarray of float32, shape (y, x)
        Share of unaltered pixels of which some channel would lie farther from 0; NaN where no channel was
        judged.
    orbits : ndarray of int16, shape (y, x)
        How many orbits judged any channel there.
    """

    deviations: NDArray[np.float32]
    p_value: NDArray[np.float32]
    orbits: NDArray[np.int16]


def score_of_t(test: TTest) -> OrbitScore:
    """Turn Student's t into standard deviations of the same tail, weighted by degrees of freedom.

    Parameters
    ----------
    test : TTest
        Of one relative orbit.

    Returns
    -------
    OrbitScore
        A channel for each polarisation.
    """
    from scipy.special import stdtr

    deviations = np.empty_like(test.statistic)

    def _work(rows: slice) -> None:
        statistic = test.statistic[:, rows].astype(np.float64)
        tail = stdtr(test.degrees[:, rows].astype(np.float64), -np.abs(statistic))
        deviations[:, rows] = _signed(tail, statistic)

    shape = deviations.shape
    run_blocks(_work, row_blocks((shape[1], shape[2]), 8 * shape[0]))
    return OrbitScore(deviations, test.degrees)


def score_of_ratio(test: LikelihoodRatio, dates: float) -> OrbitScore:
    """Turn a likelihood ratio into standard deviations of the same tail.

    Parameters
    ----------
    test : LikelihoodRatio
        Of one relative orbit.
    dates : float
        Weight of the orbit: what it could know. For m dates before and n after that is ``m n / (m + n)``.

    Returns
    -------
    OrbitScore
        One channel for all polarisations.
    """
    deviations = _signed(_tail_of(test) / 2, test.statistic)[None]
    return OrbitScore(deviations, np.full(deviations.shape, dates, np.float32))


def combine_orbits(scores: Sequence[OrbitScore]) -> CombinedOrbits:
    """Combine what relative orbits say of the same ground by a weighted, signed Stouffer sum.

        Z = sum over orbits of sqrt(w) z / sqrt(sum of w)

    (Stouffer and others 1949; weights after Lipták 1958), with the degrees of freedom as weights, as
    Ballinger 2025 (doi:10.1016/j.rse.2025.115025) has them. The sign stays: taken away before the sum, noise
    would add up with the number of orbits. Orbits see other sides of the same wall, so power is never
    averaged over them. Of the channels the farthest from 0 counts, with ``p = 1 - (1 - p)^channels`` for
    having looked at all of them (Šidák 1967, doi:10.1080/01621459.1967.10482935), which errs to the safe side
    where channels go together.

    Parameters
    ----------
    scores : sequence of OrbitScore
        One for each relative orbit, on one grid.

    Returns
    -------
    CombinedOrbits
        An orbit that did not judge a pixel has no say there.

    Raises
    ------
    ValueError
        When there is no orbit, or the shapes disagree.

    Examples
    --------
    >>> one = OrbitScore(np.full((1, 1, 1), 2, np.float32), np.full((1, 1, 1), 10, np.float32))
    >>> round(combine_orbits([one, one]).deviations.item(), 3)
    2.828
    """
    shapes = {array.shape for score in scores for array in (score.deviations, score.weight)}
    if len(shapes) != 1:
        message = f"{len(scores)} orbits of shapes {sorted(shapes)}: give at least one, all on one grid"
        raise ValueError(message)
    shape = shapes.pop()
    found = CombinedOrbits(
        np.empty(shape, np.float32), np.empty(shape[1:], np.float32), np.empty(shape[1:], np.int16)
    )

    def _work(rows: slice) -> None:
        _combine([(s.deviations[:, rows], s.weight[:, rows]) for s in scores], found, rows)

    run_blocks(_work, row_blocks((shape[1], shape[2]), 8 * shape[0]))
    return found


def _combine(
    scores: list[tuple[NDArray[np.float32], NDArray[np.float32]]], found: CombinedOrbits, rows: slice
) -> None:
    from scipy.special import ndtr

    shape = scores[0][0].shape
    total, weights, orbits = np.zeros(shape), np.zeros(shape), np.zeros(shape[1:], np.int16)
    for deviations, weight in scores:
        judged = np.isfinite(deviations) & (weight > 0)
        total += np.where(judged, np.sqrt(np.where(judged, weight, 0)) * deviations, 0)
        weights += np.where(judged, weight, 0)
        orbits += judged.any(axis=0)
    combined = np.where(weights > 0, total / np.sqrt(np.maximum(weights, 1e-30)), np.nan)
    channels = (weights > 0).sum(axis=0)
    farthest = np.where(weights > 0, np.abs(combined), 0).max(axis=0)
    # a small p is lost in 1 - (1 - p)
    p_value = -np.expm1(np.maximum(channels, 1) * np.log1p(-np.minimum(2 * ndtr(-farthest), 1 - 1e-16)))
    found.deviations[:, rows] = combined
    found.p_value[rows] = np.where(channels > 0, p_value, np.nan)
    found.orbits[rows] = orbits


def _tail_of(test: LikelihoodRatio) -> NDArray[np.float64]:
    """Return the p-value also where single precision has none left, as of every strong change."""
    from scipy.special import chdtrc, fdtrc

    tail = test.p_value.astype(np.float64)
    small = tail < _LEAST_SINGLE
    statistic, pols = np.abs(test.statistic[small]).astype(np.float64), len(test.change_db)
    if test.degrees is None:
        tail[small] = chdtrc(pols, statistic)
    else:
        tail[small] = fdtrc(pols, test.degrees[small].astype(np.float64), statistic / pols)
    return tail


def _signed(tail: NDArray[np.float64], sign: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the normal deviate of one tail, with a sign."""
    from scipy.special import ndtri

    deviate = np.minimum(-ndtri(tail), MOST_DEVIATIONS)
    return np.asarray(np.copysign(deviate, sign), np.float32)


@dataclass(frozen=True)
class ScalesParameters:
    """Parameters of `smooth_scales`.

    Attributes
    ----------
    radii_m : tuple of float
        Radii of the discs whose means are averaged with the score itself, in metres.
    pixel_m : float
        Side of a pixel, in metres.
    """

    radii_m: tuple[float, ...] = (50.0, 100.0, 150.0)
    pixel_m: float = 10.0

    def __post_init__(self) -> None:
        if not self.pixel_m > 0 or any(radius <= 0 for radius in self.radii_m):
            message = f"radii of {self.radii_m} m and pixels of {self.pixel_m} m: give positive lengths"
            raise ValueError(message)


def smooth_scales(
    score: NDArray[np.float32], parameters: ScalesParameters = ScalesParameters()
) -> NDArray[np.float32]:
    """Average a score with its means over discs, so that what changed together stands out.

    The layers of Ballinger 2025 (doi:10.1016/j.rse.2025.115025): the score and its means within 50, 100 and
    150 m, of equal weight. Give it lengths of deviations for damage, whose signs differ from pixel to pixel,
    or signed deviations, of which noise cancels. The outcome is a rank and has no p-value.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN where not judged.
    parameters : ScalesParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where the score is NaN. Pixels that were not judged give nothing.
    """
    judged = np.isfinite(score)
    filled, share = np.where(judged, score, np.float32(0)), judged.astype(np.float32)
    total = filled.copy()
    for radius in parameters.radii_m:
        disc = _disc(radius / parameters.pixel_m)
        sums, counts = (cv2.filter2D(p, -1, disc, borderType=cv2.BORDER_CONSTANT) for p in (filled, share))
        total += sums / np.maximum(counts, np.float32(1))
    total /= np.float32(1 + len(parameters.radii_m))
    return np.where(judged, total, np.float32(np.nan))


def _disc(radius_px: float) -> NDArray[np.float32]:
    reach = int(radius_px)
    across = np.arange(-reach, reach + 1)
    return (across[:, None] ** 2 + across**2 <= radius_px**2).astype(np.float32)
