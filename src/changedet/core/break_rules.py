"""Rules of the literature that say on which date a series left what was usual, to measure the default by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from changedet.core.cusum import Chart, MonitorParameters, advance
from changedet.core.parameters import Described

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BreakRule(Protocol):
    """A rule: from standardised dates to the first alarm."""

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the place of the date that raises the first alarm of each pixel, -1 where none does.

        Parameters
        ----------
        units : ndarray of float32, shape (time, ...)
            Monitored dates in standard deviations from what is usual (`Baseline.standardise`); NaN for gaps.
        history : ndarray of float32, shape (earlier time, ...)
            The same of the history; some rules need it.

        Returns
        -------
        ndarray of int16, shape (...)
        """


@dataclass(frozen=True)
class PageRule(Described):
    """Page's chart of two sides (Page 1954, doi:10.1093/biomet/41.1-2.100), as `cusum.advance` runs it.

    Attributes
    ----------
    allowance, limit, clip : float
        As in `MonitorParameters`.
    """

    allowance: float = 1.0
    limit: float = 8.0
    clip: float = 3.0

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the first alarms.

        Parameters
        ----------
        units, history
            As in `BreakRule.first_alarm`.

        Returns
        -------
        ndarray of int16, shape (...)
        """
        first, rules = _none(units), MonitorParameters(self.allowance, self.limit, self.clip)
        chart = Chart.start(np.zeros(units.shape[1:], np.float32))
        for number, date in enumerate(units):
            advance(chart, float(number), date, rules)
            _note(first, number, chart.alarms > 0)
        return first


@dataclass(frozen=True)
class RunRule(Described):
    """So many clear dates in a row beyond so many standard deviations.

    Three beyond 3 root mean squares of a least-squares fit are the rule of CCDC (Zhu and Woodcock 2014,
    doi:10.1016/j.rse.2014.01.011); six beyond the 99 % of a normal distribution, on one side, what COLD (Zhu
    et al. 2020, doi:10.1016/j.rse.2019.03.009) is for a single index.

    Attributes
    ----------
    dates : int
        How many in a row.
    threshold : float
        In standard deviations.
    one_side : bool
        Whether all have to be on the same side.
    """

    dates: int = 3
    threshold: float = 3.0
    one_side: bool = False

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the first alarms.

        Parameters
        ----------
        units, history
            As in `BreakRule.first_alarm`.

        Returns
        -------
        ndarray of int16, shape (...)
        """
        del history
        first, run = _none(units), np.zeros(units.shape[1:], np.int16)
        last_side = np.zeros(units.shape[1:], np.int8)
        for number, date in enumerate(_filled(units)):
            seen = np.isfinite(units[number])
            side = (np.sign(date) * (np.abs(date) > self.threshold)).astype(np.int8)
            goes_on = side == last_side if self.one_side else last_side != 0
            longer = np.where(side == 0, 0, np.where(goes_on, run + 1, 1)).astype(np.int16)
            run, last_side = np.where(seen, longer, run), np.where(seen, side, last_side)
            _note(first, number, run >= self.dates)
        return first


@dataclass(frozen=True)
class EwmaRule(Described):
    """Exponentially weighted mean of the deviations (Brooks et al. 2014, doi:10.1109/TGRS.2013.2272545).

    Attributes
    ----------
    weight : float
        Of the newest date.
    limit : float
        In standard deviations of the weighted mean.
    clip : float
        Deviations count no more than this.
    ignore_beyond : float
        Deviations beyond this do not count at all.
    """

    weight: float = 0.3
    limit: float = 5.0
    clip: float = 3.0
    ignore_beyond: float = math.inf

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the first alarms.

        Parameters
        ----------
        units, history
            As in `BreakRule.first_alarm`.

        Returns
        -------
        ndarray of int16, shape (...)
        """
        first, mean = _none(units), np.zeros(units.shape[1:], np.float32)
        boundary = self.limit * math.sqrt(self.weight / (2 - self.weight))
        for date in history:
            mean = self._next(mean, date)
        for number, date in enumerate(units):
            mean = self._next(mean, date)
            _note(first, number, np.abs(mean) > boundary)
        return first

    def _next(self, mean: NDArray[np.float32], date: NDArray[np.float32]) -> NDArray[np.float32]:
        counts = np.abs(np.nan_to_num(date, nan=np.inf)) <= self.ignore_beyond
        counts &= np.isfinite(date)
        clipped = np.clip(np.nan_to_num(date), -self.clip, self.clip)
        return np.where(counts, (1 - self.weight) * mean + self.weight * clipped, mean).astype(np.float32)


@dataclass(frozen=True)
class CusumRule(Described):
    """Sum of all deviations since monitoring began (Chu et al. 1996, doi:10.2307/2171955).

    Attributes
    ----------
    squared_limit : float
        Of their boundary; 7.78 is meant to be crossed by 5 % of independent series, 6.25 by 10 %.
    """

    squared_limit: float = 7.78

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the first alarms.

        Parameters
        ----------
        units, history
            As in `BreakRule.first_alarm`.

        Returns
        -------
        ndarray of int16, shape (...)
        """
        first = _none(units)
        before = np.maximum(np.isfinite(history).sum(axis=0), 1)
        total, dates = np.zeros(units.shape[1:]), np.zeros(units.shape[1:])
        for number, date in enumerate(units):
            total += np.nan_to_num(date)
            dates += np.isfinite(date)
            time = 1 + np.maximum(dates, 1) / before
            boundary = np.sqrt(time * (time - 1) * (self.squared_limit + np.log(time / (time - 1))))
            _note(first, number, (np.abs(total) / np.sqrt(before) > boundary) & (dates > 0))
        return first


@dataclass(frozen=True)
class MosumRule(Described):
    """Sum of the last deviations, as in BFAST Monitor (doi:10.1016/j.rse.2012.02.022).

    Attributes
    ----------
    share : float
        Length of the window, as a share of the clear dates of the history.
    critical : float
        Of the boundary ``critical * sqrt(2 * log+(dates / dates of the history))``; the default is crossed by
        5 % of independent series within half a history, by simulation.
    """

    share: float = 0.25
    critical: float = 1.1

    def first_alarm(self, units: NDArray[np.float32], history: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return the first alarms.

        Parameters
        ----------
        units, history
            As in `BreakRule.first_alarm`.

        Returns
        -------
        ndarray of int16, shape (...)
        """
        first, before = _none(units), np.isfinite(history).sum(axis=0)
        window = np.maximum(np.floor(self.share * before), 1).astype(np.int64)
        whole = np.concatenate([history, units])
        clear = np.isfinite(whole)
        sums = np.zeros((len(whole) + 1, *units.shape[1:]), np.float32)
        # sums by number of the clear date, so that a window is a difference
        number = np.cumsum(clear, axis=0)
        np.put_along_axis(sums, number, np.cumsum(np.nan_to_num(whole), axis=0).astype(np.float32), axis=0)
        for place in range(len(units)):
            last = number[len(history) + place][None]
            start = np.maximum(last - window, 0)
            moved = np.take_along_axis(sums, last, axis=0) - np.take_along_axis(sums, start, axis=0)
            time = last[0] / np.maximum(before, 1)
            boundary = self.critical * np.sqrt(2 * np.log(np.maximum(time, math.e)))
            crossed = np.abs(moved[0]) / np.sqrt(np.maximum(before, 1)) > boundary
            _note(first, place, crossed & clear[len(history) + place])
        return first


def _none(units: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.full(units.shape[1:], -1, np.int16)


def _filled(units: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isfinite(units), units, np.float32(0))


def _note(first: NDArray[np.int16], number: int, alarmed: NDArray[np.bool_]) -> None:
    np.copyto(first, np.int16(number), where=alarmed & (first < 0))
