"""What few dates let one expect of a pixel: the level of those from the same weeks of the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import spans
from changedet.core.robust_fit import MAD_OF_NORMAL, sorted_median
from changedet.core.season import YEAR_DAYS

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels that are looked through at a time.
_BLOCK_PX = 20_000
#: Variance of a median over that of a mean, of many normal numbers.
_MEDIAN_VARIANCE = np.float32(np.pi / 2)


@dataclass(frozen=True, eq=False)
class FewDates:
    """The dates of pixels that have few.

    Attributes
    ----------
    pixel : ndarray of int64, shape (few,)
        Places in the flattened grid, ascending.
    value : ndarray of float32, shape (date, few)
        In order of time; NaN after the last one.
    day : ndarray of float32, shape (date, few)
        Of these values.
    scale : ndarray of float32, shape (few,)
        Standard deviation of a date, in the unit of the values.
    window_days : float
        How far from a day of the year dates count.
    least_dates : int
        How many have to.
    """

    pixel: NDArray[np.int64]
    value: NDArray[np.float32]
    day: NDArray[np.float32]
    scale: NDArray[np.float32]
    window_days: float
    least_dates: int

    def fill(
        self, day: float, pixels: slice, value: NDArray[np.float32], spread: NDArray[np.float32]
    ) -> None:
        """Write what is expected on a day into the places of these pixels.

        Parameters
        ----------
        day : float
        pixels : slice
            Of the flattened grid; `value` and `spread` are of these pixels, and are written to.
        value, spread : ndarray of float32, shape (pixel,)
            Level and standard deviation; NaN where fewer dates than needed lie within the window.
        """
        start, stop = np.searchsorted(self.pixel, (pixels.start, pixels.stop))
        if start == stop:
            return
        apart = np.abs((self.day[:, start:stop] - day + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2)
        inside = (apart <= self.window_days).T
        count = inside.sum(axis=1, dtype=np.int32)
        level = sorted_median(np.where(inside, self.value[:, start:stop].T, np.float32(np.inf)), count)
        enough = count >= self.least_dates
        widened = np.sqrt(1 + _MEDIAN_VARIANCE / np.maximum(count, 1).astype(np.float32))
        here = self.pixel[start:stop] - pixels.start
        value[here] = np.where(enough, level, np.float32(np.nan))
        spread[here] = np.where(enough, self.scale[start:stop] * widened, np.float32(np.nan))


@dataclass(frozen=True)
class FewDatesRules:
    """How few dates are used.

    Attributes
    ----------
    window_days : float
        How far from a day of the year dates count.
    least_dates : int
        How many have to.
    least_scale : float
        Smallest standard deviation, in the unit of the values: a few dates look quieter than they are, and
        pixels with many dates know better.
    """

    window_days: float
    least_dates: int
    least_scale: float


def collect_few_dates(
    values: NDArray[np.float32],
    seen: NDArray[np.bool_] | None,
    days: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    rules: FewDatesRules,
) -> FewDates:
    """Keep the dates of some pixels.

    Parameters
    ----------
    values : ndarray of float32, shape (time, pixel)
        NaN where a date does not see a pixel.
    seen : ndarray of bool, shape (time, pixel), optional
        Where a date sees a pixel, besides.
    days : ndarray of float64, shape (time,)
    chosen : ndarray of bool, shape (pixel,)
        The pixels.
    rules : FewDatesRules

    Returns
    -------
    FewDates
        The scale of a pixel is the median deviation of all its dates from their median, season included, and
        at least that of the rules.
    """
    pixel = np.flatnonzero(chosen)
    parts = [_kept(values, seen, days, pixel[part]) for part in spans(len(pixel), _BLOCK_PX)]
    longest = max((len(value) for value, _, _ in parts), default=0)
    value, day = (np.full((longest, len(pixel)), np.nan, np.float32) for _ in range(2))
    scale = np.empty(len(pixel), np.float32)
    for part, (some, when, spread) in zip(spans(len(pixel), _BLOCK_PX), parts, strict=True):
        value[: len(some), part], day[: len(some), part], scale[part] = some, when, spread
    scale = np.maximum(scale, np.float32(rules.least_scale))
    return FewDates(pixel, value, day, scale, rules.window_days, rules.least_dates)


def _kept(
    values: NDArray[np.float32],
    seen: NDArray[np.bool_] | None,
    days: NDArray[np.float64],
    pixel: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return values and days (date, pixel) of some pixels, as many as there are, and their scales."""
    part = values[:, pixel].T.astype(np.float32)
    clear = np.isfinite(part)
    if seen is not None:
        clear &= seen[:, pixel].T
    count = clear.sum(axis=1, dtype=np.int32)
    longest = int(count.max(initial=0))
    order = np.argsort(~clear, axis=1, kind="stable")[:, :longest]
    there = np.arange(longest) < count[:, None]
    value = np.where(there, np.take_along_axis(part, order, axis=1), np.float32(np.nan))
    day = np.where(there, days[order], np.nan).astype(np.float32)
    level = sorted_median(np.where(there, value, np.float32(np.inf)), count)
    apart = np.where(there, np.abs(value - level[:, None]), np.float32(np.inf))
    scale = sorted_median(apart, count) / MAD_OF_NORMAL
    scale *= np.sqrt(count / np.maximum(count - 1, 1)).astype(np.float32)
    return value.T, day.T, scale
