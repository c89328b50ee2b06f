"""Since when a place has been in a state on nearly all dates in which it hardly ever was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.parameters import Described

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class StateChangeParameters(Described):
    """Parameters of `last_state_change`.

    Attributes
    ----------
    least_before, least_since : int
        Dates before, and dates since, that are needed.
    most_before, least_share : float
        Share of the dates before that may be in the state, and share of those since that must be.
    least_ratio : float
        Twice the logarithm of the likelihood ratio of two shares to one.
    """

    least_before: int = 8
    least_since: int = 5
    most_before: float = 0.1
    least_share: float = 0.8
    least_ratio: float = 16.0

    def __post_init__(self) -> None:
        if min(self.least_before, self.least_since) < 1 or not self.least_ratio > 0:
            message = (
                f"{self.least_before} and {self.least_since} dates, a ratio of {self.least_ratio}: give at "
                "least one date and a positive ratio"
            )
            raise ValueError(message)
        if not 0 <= self.most_before < self.least_share <= 1:
            message = (
                f"shares of {self.most_before} before and {self.least_share} since: give two from 0 to 1, "
                "the first the smaller"
            )
            raise ValueError(message)


@dataclass(frozen=True)
class StateChange:
    """A place that came into a state and stayed in it.

    Attributes
    ----------
    first : int
        The first date of the new state, as a place among those that were given.
    share_before, share_since : float
        Shares of the dates that are in it.
    ratio : float
        Twice the logarithm of the likelihood ratio.
    """

    first: int
    share_before: float
    share_since: float
    ratio: float


def last_state_change(
    state: NDArray[np.bool_], parameters: StateChangeParameters = StateChangeParameters()
) -> StateChange | None:
    """Find since when a place has been in a state.

    Where level and season of the years before are so uncertain that no step stands out, as in fields, what
    the ground reads as still changes for good. The dates before and since are two samples of a share; the
    date that makes them most unlike is that of the change (Hinkley and Hinkley 1970,
    doi:10.1093/biomet/57.3.477). Single dates that read otherwise, through cloud or rain, do not undo it.

    Parameters
    ----------
    state : ndarray of bool, shape (time,)
        Whether each clear date is in the state.
    parameters : StateChangeParameters

    Returns
    -------
    StateChange or None
        None where there is none, or it did not last to the end.

    Examples
    --------
    >>> built = np.array([False] * 20 + [True] * 8)
    >>> last_state_change(built).first
    20
    >>> last_state_change(np.arange(28) % 2 == 0) is None
    True
    """
    dates, p = len(state), parameters
    if dates < p.least_before + p.least_since:
        return None
    starts = np.arange(p.least_before, dates - p.least_since + 1)
    sums = np.concatenate([[0], np.cumsum(state)])
    before, since = sums[starts] / starts, (sums[-1] - sums[starts]) / (dates - starts)
    whole = sums[-1] / dates
    ratio = 2 * (
        _log_likelihood(before, starts)
        + _log_likelihood(since, dates - starts)
        - _log_likelihood(np.array(whole), np.array(dates))
    )
    # it begins on a date that is in the state
    fits = (before <= p.most_before) & (since >= p.least_share) & state[starts]
    if not fits.any():
        return None
    best = int(np.where(fits, ratio, -np.inf).argmax())
    if ratio[best] < p.least_ratio:
        return None
    return StateChange(int(starts[best]), float(before[best]), float(since[best]), float(ratio[best]))


def _log_likelihood(share: NDArray[np.float64], count: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the largest logarithm of the likelihood of dates with a share in a state."""
    from scipy.special import xlogy

    return np.asarray(count * (xlogy(share, share) + xlogy(1 - share, 1 - share)))
