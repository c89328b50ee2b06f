"""What timelines of both sensors decide alike: what is usual beside the breaks, and when a break persists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.harmonic_baseline import Baseline, BaselineCode, BaselineParameters, fit_baseline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: Dates, and days from the first to the last of them, on which a lasting change must show before it is
#: called persisting: a field lies bare for weeks.
PERSISTING_DATES, PERSISTING_DAYS = 3, 30.0


def break_state(*, over: bool, dates: int, days: float, knows_season: bool) -> str:
    """Say how a break stands.

    Parameters
    ----------
    over : bool
        Whether later dates do not show it.
    dates : int
        Dates that show it.
    days : float
        Days from the first to the last of them.
    knows_season : bool
        Whether the series reaches over enough years for season and change to be told apart.

    Returns
    -------
    str
        ``"persisting"``, ``"provisional"`` or ``"over"``.

    Examples
    --------
    >>> break_state(over=False, dates=2, days=90.0, knows_season=True)
    'provisional'
    """
    if over:
        return "over"
    enough = dates >= PERSISTING_DATES and days >= PERSISTING_DAYS and knows_season
    return "persisting" if enough else "provisional"


def usual_course(
    values: Floats, days: NDArray[np.float64], parameters: BaselineParameters
) -> tuple[Baseline | None, Floats, Floats]:
    """Fit what is usual to a series without its changes.

    Parameters
    ----------
    values : ndarray of float32, shape (time, column)
        The series less what its changes make of it; NaN where a date does not count.
    days : ndarray of float64, shape (time,)
        Ascending.
    parameters : BaselineParameters

    Returns
    -------
    baseline : Baseline or None
        None where nothing can be expected.
    expected, sigma : ndarray of float32, shape (time, column)
        What is usual on each date, and a standard deviation; NaN without.
    """
    baseline = fit_baseline(values, days, None, parameters)
    if not np.isin(baseline.code, (BaselineCode.MONITORED, BaselineCode.LEVEL_ONLY)).all():
        nothing = np.full_like(values, np.nan)
        return None, nothing, nothing
    expected, sigma = curve_of(baseline, days)
    return baseline, expected, sigma


def curve_of(baseline: Baseline, days: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return what is usual on any days, and a standard deviation, shape (day, column)."""
    both = [baseline.expected(float(day)) for day in days]
    return np.stack([one[0] for one in both]), np.stack([one[1] for one in both])
