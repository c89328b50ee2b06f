"""How a series goes on after a break: whether it stays, comes back, comes and goes, or does so every year."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.parameters import Described
from changedet.core.robust_fit import sorted_median
from changedet.core.season import YEAR_DAYS

if TYPE_CHECKING:
    from numpy.typing import NDArray


_HALF = np.float32(0.5)


class Pattern(IntEnum):
    """What the numbers of a `Behaviour` are consistent with; the first that fits."""

    #: No break, or too few clear dates after it.
    OPEN = 0
    #: As far off in the same weeks of earlier years, on the same side.
    SEASONAL = 1
    #: Off and back more than once: activity, snow, clouds that were missed.
    BURSTS = 2
    #: Back at what was usual, and still there.
    REVERSED = 3
    #: Stays off.
    STEP = 4


@dataclass(frozen=True)
class BehaviourParameters(Described):
    """Parameters of `behaviour`.

    Attributes
    ----------
    beyond : float
        Standard deviations from which a date is off, on the side of the break.
    usual : float
        Standard deviations up to which a date is back; less where half of the step is less.
    early_dates : int
        Clear dates after the break whose median is that step.
    back_dates : int
        Clear dates in a row that make a return.
    off_dates : int
        Clear dates in a row that are off, from which it has left again.
    least_later : int
        Clear dates after the break that a pattern needs.
    step_share : float
        Share of the later dates that are off, from which it stays.
    window_days : float
        How far from a day of the year dates of earlier years are its season.
    seasonal_share : float
        Deviation in the season of earlier years over that after the break, from which it is the season's.
    """

    beyond: float = 1.5
    usual: float = 1.5
    early_dates: int = 5
    back_dates: int = 3
    off_dates: int = 2
    least_later: int = 5
    step_share: float = 0.6
    window_days: float = 10.0
    seasonal_share: float = 0.5

    def __post_init__(self) -> None:
        dates = (self.early_dates, self.back_dates, self.off_dates, self.least_later)
        if not all(number > 0 for number in (self.beyond, self.usual, self.window_days, *dates)):
            message = (
                f"beyond {self.beyond}, usual {self.usual}, window_days {self.window_days}, numbers of dates "
                f"{dates}; give positive ones"
            )
            raise ValueError(message)
        if not (0 < self.step_share <= 1 and 0 < self.seasonal_share <= 1):
            message = f"shares of {self.step_share} and {self.seasonal_share}; give numbers above 0, up to 1"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Behaviour:
    """The outcome of `behaviour`; every array has the shape of a date.

    Attributes
    ----------
    step : ndarray of float32
        Median deviation of the clear dates from the break to the return, in standard deviations, signed.
    later_dates : ndarray of int16
        Clear dates from the break on.
    share_beyond : ndarray of float32
        Share of these that are off, on the side of the break.
    return_day : ndarray of float32
        First of the clear dates in a row that make the first return; NaN where there is none.
    lasted_dates : ndarray of int16
        Clear dates from the break to before the return, or to the end.
    bursts : ndarray of int16
        How often it left: a step once, and so what returned for good.
    last_step : ndarray of float32
        Median deviation of the last `back_dates` clear dates, in standard deviations.
    same_season : ndarray of float32
        Median deviation in the same weeks of the years before the break, in standard deviations; NaN where
        there are no dates.
    pattern : ndarray of uint8
        A `Pattern`.
    """

    step: NDArray[np.float32]
    later_dates: NDArray[np.int16]
    share_beyond: NDArray[np.float32]
    return_day: NDArray[np.float32]
    lasted_dates: NDArray[np.int16]
    bursts: NDArray[np.int16]
    last_step: NDArray[np.float32]
    same_season: NDArray[np.float32]
    pattern: NDArray[np.uint8]


def behaviour(
    units: NDArray[np.float32],
    days: NDArray[np.float64],
    break_day: NDArray[np.float32],
    side: NDArray[np.int8],
    parameters: BehaviourParameters = BehaviourParameters(),
) -> Behaviour:
    """Describe a series after its break in plain numbers.

    Construction is a step that stays. Snow, floods and missed clouds come back within dates, a harvest
    within weeks and in other years as well, vehicles and storage come and go. The numbers say which; a kind
    they do not prove.

    Parameters
    ----------
    units : ndarray of float32, shape (time, ...)
        History and later dates, in standard deviations from what is usual (`Baseline.standardise`); NaN where
        a date does not see a pixel.
    days : ndarray of float64, shape (time,)
        Ascending.
    break_day : ndarray of float32, shape (...)
        The first day after the change (`Chart.by_day`); NaN where there is no break.
    side : ndarray of int8, shape (...)
        1 where it is above what is usual, -1 below (`Chart.side`).
    parameters : BehaviourParameters

    Returns
    -------
    Behaviour
        Where there is no break, NaN and 0.

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    if units.shape[1:] != break_day.shape or side.shape != break_day.shape or days.shape != units.shape[:1]:
        message = (
            f"a series of shape {units.shape} with {days.shape} days, breaks of shape {break_day.shape} and "
            f"sides of shape {side.shape}; give one of each for every pixel"
        )
        raise ValueError(message)
    shape = break_day.shape
    start, sign = break_day.reshape(-1), side.reshape(-1).astype(np.float32)
    signed = units.reshape(len(units), -1) * sign
    with np.errstate(invalid="ignore"):
        later = np.isfinite(signed) & (days.astype(np.float32)[:, None] >= start)
    walk = _walk(signed, later, days, parameters)
    inside = later & (np.arange(len(days))[:, None] < walk.back_place)
    count = later.sum(axis=0)
    off = (later & (signed > parameters.beyond)).sum(axis=0)
    share = np.where(count > 0, off / np.maximum(count, 1), np.nan).astype(np.float32)
    nan = np.float32(np.nan)
    step = _middle(signed, inside)
    season = _same_season(signed, days, start, inside, parameters)
    found = {
        "step": step * sign,
        "later_dates": count.astype(np.int16),
        "share_beyond": share,
        "return_day": np.where(
            walk.back_place < len(days), days[np.minimum(walk.back_place, len(days) - 1)], nan
        ).astype(np.float32),
        "lasted_dates": inside.sum(axis=0).astype(np.int16),
        "bursts": walk.bursts,
        "last_step": walk.last * sign,
        "same_season": season * sign,
    }
    found["pattern"] = _pattern(found, step, season, walk, parameters)
    return Behaviour(**{name: array.reshape(shape) for name, array in found.items()})


@dataclass(frozen=True, eq=False)
class _Walk:
    """What is found by going through the dates once."""

    back_place: NDArray[np.int64]
    bursts: NDArray[np.int16]
    back_now: NDArray[np.bool_]
    last: NDArray[np.float32]


def _walk(
    signed: NDArray[np.float32],
    later: NDArray[np.bool_],
    days: NDArray[np.float64],
    parameters: BehaviourParameters,
) -> _Walk:
    """Follow each pixel from its break on: off, back, off again."""
    pixels = signed.shape[1]
    early = _middle(signed, later & (np.cumsum(later, axis=0) <= parameters.early_dates))
    calm = np.minimum(np.float32(parameters.usual), _HALF * early)
    quiet, loud = np.zeros(pixels, np.int16), np.zeros(pixels, np.int16)
    quiet_since, back_place = np.zeros(pixels, np.int64), np.full(pixels, len(days), np.int64)
    off = np.asarray(later.any(axis=0))
    bursts = np.asarray(off, np.int16)
    recent = np.full((parameters.back_dates, pixels), np.nan, np.float32)
    begun = np.flatnonzero(later.any(axis=1))
    for place in range(int(begun[0]) if len(begun) else len(signed), len(signed)):
        date, here = signed[place], later[place]
        with np.errstate(invalid="ignore"):
            beyond, usual = here & (date > parameters.beyond), here & (date <= calm)
        quiet_since[usual & (quiet == 0)] = place
        quiet = np.where(usual, quiet + 1, np.where(here, 0, quiet)).astype(np.int16)
        loud = np.where(beyond, loud + 1, np.where(here, 0, loud)).astype(np.int16)
        again = ~off & (loud >= parameters.off_dates)
        bursts += again
        off |= again
        back = off & (quiet >= parameters.back_dates)
        first = back & (back_place == len(days))
        back_place[first] = quiet_since[first]
        off &= ~back
        recent = np.where(here, np.concatenate([recent[1:], date[None]]), recent)
    return _Walk(back_place, bursts, ~off & (bursts > 0), _middle(recent, np.isfinite(recent)))


def _middle(values: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the median over time of what is chosen, NaN where nothing is."""
    count = chosen.sum(axis=0, dtype=np.int32)
    rows = np.ascontiguousarray(np.where(chosen, values, np.float32(np.inf)).T)
    return np.where(count > 0, sorted_median(rows, count), np.float32(np.nan))


def _same_season(
    signed: NDArray[np.float32],
    days: NDArray[np.float64],
    start: NDArray[np.float32],
    inside: NDArray[np.bool_],
    parameters: BehaviourParameters,
) -> NDArray[np.float32]:
    """Return the median deviation in the weeks of the break, in the years before it."""
    last = np.where(inside, days[:, None], -np.inf).max(axis=0)
    length = np.clip(last - start, 0, YEAR_DAYS / 2)
    after = (days[:, None] - start + parameters.window_days) % YEAR_DAYS
    with np.errstate(invalid="ignore"):
        early = days[:, None] < start - YEAR_DAYS / 2
        chosen = early & (after <= length + 2 * parameters.window_days) & np.isfinite(signed)
    return _middle(signed, chosen)


def _pattern(
    found: dict[str, NDArray[np.generic]],
    step: NDArray[np.float32],
    season: NDArray[np.float32],
    walk: _Walk,
    parameters: BehaviourParameters,
) -> NDArray[np.uint8]:
    """Return the first pattern that the numbers fit."""
    enough = np.asarray(found["later_dates"]) >= parameters.least_later
    with np.errstate(invalid="ignore"):
        seasonal = season >= np.maximum(parameters.seasonal_share * step, 0.5 * parameters.beyond)
        stays = np.asarray(found["share_beyond"]) >= parameters.step_share
    out = np.zeros(step.shape, np.uint8)
    out[enough & stays] = Pattern.STEP
    out[enough & walk.back_now & ~(stays & (walk.last > parameters.usual))] = Pattern.REVERSED
    out[enough & (walk.bursts > 1)] = Pattern.BURSTS
    out[enough & seasonal] = Pattern.SEASONAL
    return out
