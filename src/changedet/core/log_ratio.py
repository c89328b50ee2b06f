"""Two single dates of radar by the logarithm of their ratio: a baseline, for when there is nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import row_blocks, run_blocks
from changedet.core.histogram_threshold import kittler_illingworth_threshold
from changedet.core.radar_stack import DECIBELS, LEAST_POWER
from changedet.core.sampling import MAD_TO_SPREAD
from changedet.core.speckle import multilook

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviation of a normal distribution whose median absolute deviation is 1.
_NORMAL_SPREAD = np.float32(MAD_TO_SPREAD)
#: Standard deviations of the unaltered beyond which a decrease is no part of them.
_USUAL_DEVIATIONS = np.float32(3)
#: Groups of pixels of like power whose change is described apart.
_LIKE_POWER_GROUPS = 20


@dataclass(frozen=True)
class LogRatioParameters:
    """Parameters of `log_ratio`.

    Attributes
    ----------
    multilook_px : int
        Side of the squares over which power is averaged first, odd; 1 for none.
    looks : float
        Equivalent number of looks after that, for the p-value.
    """

    multilook_px: int = 3
    looks: float = 22.0

    def __post_init__(self) -> None:
        if self.multilook_px < 1 or self.multilook_px % 2 == 0 or not 0 < self.looks < np.inf:
            message = (
                f"squares of {self.multilook_px} px and {self.looks} looks: "
                "give an odd side and positive looks"
            )
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class LogRatio:
    """The outcome of `log_ratio`.

    Attributes
    ----------
    change_db : ndarray of float32, shape (pol, y, x)
        After over before, in decibels; NaN where either date does not see the pixel.
    p_value : ndarray of float32, shape (y, x)
        Share of unaltered pixels of which some polarisation would differ more, were speckle all there is.
        Between single dates weather, season and moisture are there too: a rank rather than a rate.
    brighter_db, darker_db : float
        Thresholds of Kittler and Illingworth for the mean change over the polarisations, both positive, in
        decibels; infinite where there is nothing to divide.
    """

    change_db: NDArray[np.float32]
    p_value: NDArray[np.float32]
    brighter_db: float
    darker_db: float

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Pixels whose mean change lies beyond the threshold of its direction, shape (y, x)."""
        mean = self.change_db.mean(axis=0)
        return np.asarray((mean > self.brighter_db) | (mean < -self.darker_db))


def log_ratio(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    parameters: LogRatioParameters = LogRatioParameters(),
) -> LogRatio:
    """Compare two single dates by the logarithm of the ratio of power.

    A ratio, since speckle multiplies (Rignot and van Zyl 1993, doi:10.1109/36.239913). Of two dates of L
    looks it follows Fisher's F with 2 L and 2 L degrees of freedom where nothing changed. What became
    brighter and what became darker are cut apart (Zhuang and others 2019,
    doi:10.1080/22797254.2019.1653226), each by the threshold of Kittler and Illingworth (1986,
    doi:10.1016/0031-3203(86)90030-0; on log-ratios Bazi, Bruzzone and Melgani 2005,
    doi:10.1109/TGRS.2004.842441), which assumes that some 5 % changed at least and flags far too much where
    less did.

    Of steps of 2 dB, one date against one finds a quarter where 12 against 4 find nearly all, at equal false
    alarms: take `changedet.core.likelihood_ratio` wherever there are more dates.

    Parameters
    ----------
    before, after : ndarray of float32, shape (pol, y, x)
        Linear gamma nought of one relative orbit; NaN where not seen.
    parameters : LogRatioParameters

    Returns
    -------
    LogRatio
        Swapping the dates flips the sign and swaps the thresholds.

    Raises
    ------
    ValueError
        When the shapes disagree or the dates are not (pol, y, x).

    Examples
    --------
    >>> before = np.ones((2, 9, 9), np.float32)
    >>> round(log_ratio(before, 4 * before).change_db.mean().item(), 2)
    6.02
    """
    if before.ndim != 3 or before.shape != after.shape or len(before) == 0:
        message = f"dates of shapes {before.shape} and {after.shape} are not two of (pol, y, x)"
        raise ValueError(message)
    least = np.float32(LEAST_POWER)
    first, second = (np.maximum(multilook(date, parameters.multilook_px), least) for date in (before, after))
    change = np.float32(DECIBELS) * np.log(second / first)
    change[:, ~np.isfinite(change).all(axis=0)] = np.nan
    mean = change.mean(axis=0)
    return LogRatio(change, _tail(change, parameters.looks), _threshold(mean), _threshold(-mean))


def _threshold(change: NDArray[np.float32]) -> float:
    """Return the threshold of what increased, left out what decreased."""
    change = change[np.isfinite(change)]
    if change.size == 0:
        return float("inf")
    centre = np.median(change)
    spread = np.median(np.abs(change - centre)) * _NORMAL_SPREAD
    return kittler_illingworth_threshold(change[change - centre >= -_USUAL_DEVIATIONS * spread])


def _tail(change: NDArray[np.float32], looks: float) -> NDArray[np.float32]:
    from scipy.special import fdtrc

    tail = np.empty(change[0].shape, np.float32)

    def _work(rows: slice) -> None:
        farthest = np.abs(change[:, rows]).max(axis=0).astype(np.float64)
        single = np.minimum(2 * fdtrc(2 * looks, 2 * looks, np.exp(farthest / DECIBELS)), 1 - 1e-16)
        tail[rows] = -np.expm1(len(change) * np.log1p(-single))

    run_blocks(_work, row_blocks((change.shape[1], change.shape[2]), 8))
    return tail


def like_power_deviations(
    change_db: NDArray[np.float32], power: NDArray[np.float32], teaches: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return a change in standard deviations of ground that sends back as much.

    Water, fields and roofs scatter differently between two dates. The centre and spread of the change are
    those of the scene's own pixels of like power, medians that change on less than half of them cannot move
    far. What whole scenes do alike, such as rain, is in the centre. There is no null in this: other pixels
    may have changed too, and tails are heavier than those of a normal distribution. It is a rank.

    Parameters
    ----------
    change_db : ndarray of float32, shape (y, x)
        After over before, in decibels; NaN = not judged.
    power : ndarray of float32, shape (y, x)
        Linear power of either date that tells like from unlike, such as the larger of both.
    teaches : ndarray of bool, shape (y, x)
        Ground from which centre and spread are taken.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Positive where brighter than is usual there; NaN where the change is. All 0 where nothing varies.

    Examples
    --------
    >>> change = np.random.default_rng(0).normal(1, 2, (64, 64)).astype(np.float32)
    >>> found = like_power_deviations(change, np.ones_like(change), np.ones(change.shape, bool))
    >>> round(float(found.std()))
    1
    """
    judged = np.isfinite(change_db)
    level = np.log(np.maximum(np.where(judged, power, np.float32(1)), np.float32(LEAST_POWER)))
    chosen = judged & teaches
    if not chosen.any():
        return np.where(judged, np.float32(0), np.float32(np.nan))
    levels, changes = level[chosen], change_db[chosen]
    groups = np.array_split(np.argsort(levels, kind="stable"), _LIKE_POWER_GROUPS)
    groups = [group for group in groups if group.size]
    at = np.array([np.median(levels[group]) for group in groups])
    centres = np.array([np.median(changes[group]) for group in groups])
    spreads = np.array(
        [np.median(np.abs(changes[group] - centre)) for group, centre in zip(groups, centres, strict=True)]
    )
    spread = np.interp(level, at, _NORMAL_SPREAD * spreads)
    apart = change_db - np.interp(level, at, centres)
    found = np.divide(apart, spread, out=np.zeros(level.shape), where=spread > 0)
    return np.where(judged, found, np.nan).astype(np.float32)
