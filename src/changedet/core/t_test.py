"""Student's t between two periods of radar, pixel by pixel, on logarithms of power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from changedet.core.blocks import THREADS, Buffers, run_blocks, wide_tiles
from changedet.core.radar_stack import DECIBELS, LEAST_POWER, check_periods, usable_dates

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Logarithms of a period of one tile: they need not fit the cache of a core, but calls have to be long beside
#: handing the interpreter to the other thread.
_TILE_BYTES = 2_900_000
#: Pixels of a tile, at least: each date is read in runs of so many.
_LEAST_PIXELS = 4096
#: A logarithm, and a sum of squares of logarithms, that power stays below unless it is infinite.
_FAR_LOG, _FAR_SQUARES = 60.0, 6400.0
#: Standard deviation, in nepers, that a mean is never taken to be more certain than: 0.004 dB.
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class TTestParameters:
    """Parameters of `t_test`.

    Attributes
    ----------
    variance : {"pooled", "welch"}
        Whether both periods share one variance. Speckle of the same looks does; then the pooled test finds
        more and keeps its rate of false alarms with few dates. Welch's does not assume it.
    least_before, least_after : int
        Dates that each period must have at a pixel, or it is not judged.
    """

    variance: Literal["pooled", "welch"] = "pooled"
    least_before: int = 3
    least_after: int = 2

    def __post_init__(self) -> None:
        if self.variance not in ("pooled", "welch"):
            message = f"variance must be 'pooled' or 'welch', not {self.variance!r}"
            raise ValueError(message)
        fewest = (self.least_before, self.least_after)
        if min(fewest) < 1 or (self.variance == "welch" and min(fewest) < 2) or sum(fewest) < 3:
            message = f"{fewest} dates at least leave no variance to estimate; ask for more"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class TTest:
    """The outcome of `t_test`.

    Attributes
    ----------
    statistic : ndarray of float32, shape (pol, y, x)
        Student's t, positive where brighter after; NaN where not judged.
    degrees : ndarray of float32, shape (pol, y, x)
        Degrees of freedom; NaN where not judged.
    change_db : ndarray of float32, shape (pol, y, x)
        Difference of the means of decibels, after less before; NaN where not judged.
    """

    statistic: NDArray[np.float32]
    degrees: NDArray[np.float32]
    change_db: NDArray[np.float32]


def t_test(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    parameters: TTestParameters = TTestParameters(),
    *,
    threads: int = THREADS,
) -> TTest:
    """Compare the means of two periods with the scatter from date to date.

    The pixel-wise t-test of Ballinger 2025 (doi:10.1016/j.rse.2025.115025) on one relative orbit, with its
    sign kept: orbits are combined by `changedet.core.orbits.combine_orbits`, and noise of opposite sign
    cancels there. Logarithms of speckle of several looks are nearly normal with one variance, whatever the
    brightness. The pooled statistic (Student 1908, doi:10.1093/biomet/6.1.1) has ``m + n - 2`` degrees of
    freedom, Welch's those of his equation (1947, doi:10.1093/biomet/34.1-2.28).

    Each pixel is its own measure of scatter, so that ground that flickers, such as a car park or crops, has
    to change by more. With few dates that measure is poor: `changedet.core.likelihood_ratio` finds more.

    Parameters
    ----------
    before, after : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit, multilooked; not negative; NaN where a date does not see a
        pixel. A date counts where every polarisation is finite.
    parameters : TTestParameters
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    TTest
        Swapping the periods flips the sign.

    Raises
    ------
    ValueError
        When the stacks disagree, or are not of float32 and four dimensions.

    Examples
    --------
    >>> before = np.array([0.9, 1.0, 1.1], np.float32).reshape(3, 1, 1, 1)
    >>> found = t_test(before, 2 * before)
    >>> round(found.statistic.item(), 2), found.degrees.item(), round(found.change_db.item(), 2)
    (8.46, 4.0, 3.01)
    """
    check_periods(before, after)
    shape = before.shape[1:]
    found = TTest(*(np.empty(shape, np.float32) for _ in range(3)))

    buffers = Buffers()

    def _work(tile: tuple[slice, slice]) -> None:
        where = (slice(None), *tile)
        _tile(before[:, *where], after[:, *where], parameters, (found, where, buffers))

    pixels = max(_LEAST_PIXELS, _TILE_BYTES // (4 * max(len(before), len(after))))
    run_blocks(_work, wide_tiles((shape[1], shape[2]), pixels), threads)
    return found


@dataclass(frozen=True, eq=False)
class _Sums:
    """Number of dates of a period, and sums of what they exceed a pivot by."""

    count: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]


def _tile(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    parameters: TTestParameters,
    out: tuple[TTest, tuple[slice, ...], Buffers],
) -> None:
    result, where, buffers = out
    part = TTest(*(values[where] for values in _fields(result)))
    with np.errstate(invalid="ignore", over="ignore"):
        sums, ordinary = _plain_sums((before, after), buffers)
    _note(part, sums, parameters)
    if not ordinary:
        # what OpenCV makes of a gap differs between its versions, so that the dates themselves are asked
        special = np.zeros(before.shape[2:], bool)
        for date in (*before, *after):
            special |= ~((date >= np.float32(LEAST_POWER)) & (date < np.inf)).all(axis=0)
        if special.any():
            picked = [np.ascontiguousarray(stack[:, :, special]) for stack in (before, after)]
            _special(part, special, picked, parameters)


def _plain_sums(periods: tuple[NDArray[np.float32], ...], buffers: Buffers) -> tuple[list[_Sums], bool]:
    """Sum over dates as if there were no gaps; and say whether there were none, and power everywhere.

    The first date is a pivot, so that small variances keep their digits.
    """
    shape = periods[0].shape[1:]
    longest, pixels = max(map(len, periods)), shape[1] * shape[2]
    sums = []
    for stack in periods:
        count = np.full((1, 1, 1), len(stack), np.float32)
        sums.append(_Sums(count, np.empty(shape, np.float32), np.empty(shape, np.float32)))
    ordinary, space = True, buffers.planes(longest + 1, (pixels,))
    pivot = space[longest]
    for pol in range(shape[0]):
        for stack, total in zip(periods, sums, strict=True):
            # one call for all dates of a period; a view wherever a tile is of whole rows
            power, logs = stack[:, pol].reshape(len(stack), pixels), space[: len(stack)]
            ordinary = ordinary and bool(power.min(initial=np.inf) >= LEAST_POWER)
            cv2.log(power, logs)
            if total is sums[0]:
                np.copyto(pivot, logs[0])
            np.subtract(logs, pivot, out=logs)
            np.add.reduce(logs, axis=0, out=total.first[pol].reshape(pixels))
            np.einsum("tp,tp->p", logs, logs, out=total.second[pol].reshape(pixels))
        ordinary = ordinary and bool(pivot.max(initial=0) < _FAR_LOG)
    return sums, ordinary and all(bool(total.second.max(initial=0) < _FAR_SQUARES) for total in sums)


def _special(
    result: TTest,
    special: NDArray[np.bool_],
    picked: list[NDArray[np.float32]],
    parameters: TTestParameters,
) -> None:
    """Do again the pixels with gaps or without power."""
    masks = [usable_dates(stack[..., None])[..., 0] for stack in picked]
    logs = [np.log(np.maximum(stack, np.float32(LEAST_POWER))) for stack in picked]
    for values, usable in zip(logs, masks, strict=True):
        np.copyto(values, 0, where=~usable[:, None])
    counts = [usable.sum(axis=0, dtype=np.float32) for usable in masks]
    pivot = logs[0].sum(axis=0) / np.maximum(counts[0], 1)
    sums = []
    for values, usable, count in zip(logs, masks, counts, strict=True):
        above = np.where(usable[:, None], values - pivot, np.float32(0))
        sums.append(_Sums(count, above.sum(axis=0), (above * above).sum(axis=0)))
    part = TTest(*(np.empty(pivot.shape, np.float32) for _ in range(3)))
    _note(part, sums, parameters)
    for whole, values in zip(_fields(result), _fields(part), strict=True):
        whole[:, special] = values


def _fields(result: TTest) -> tuple[NDArray[np.float32], ...]:
    return result.statistic, result.degrees, result.change_db


def _note(result: TTest, sums: list[_Sums], parameters: TTestParameters) -> None:
    """Write statistic, degrees and change of what was summed."""
    fewest = (parameters.least_before, parameters.least_after)
    judged = np.logical_and(*(s.count >= n for s, n in zip(sums, fewest, strict=True)))
    counts = [np.maximum(s.count, np.float32(n)) for s, n in zip(sums, fewest, strict=True)]
    with np.errstate(invalid="ignore"):
        means = [np.divide(s.first, n) for s, n in zip(sums, counts, strict=True)]
        squares = [np.multiply(s.first, m) for s, m in zip(sums, means, strict=True)]
        for square, total in zip(squares, sums, strict=True):
            np.subtract(total.second, square, out=square)
        weigh = _pooled if parameters.variance == "pooled" else _separate
        variance, degrees = weigh(squares, counts)
        change = np.subtract(means[1], means[0], out=means[1])
        np.maximum(variance, np.float32(_LEAST_DEVIATION**2), out=variance)
        np.divide(change, np.sqrt(variance, out=variance), out=result.statistic)
    np.multiply(change, np.float32(DECIBELS), out=result.change_db)
    result.degrees[...] = degrees
    if not judged.all():
        for values in _fields(result):
            np.copyto(values, np.float32(np.nan), where=~judged)


def _pooled(
    squares: list[NDArray[np.float32]], counts: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return variance and degrees of freedom of the difference of means, of one variance for both periods."""
    degrees = counts[0] + counts[1] - 2
    both = squares[0] + squares[1]
    return np.multiply(both, (1 / counts[0] + 1 / counts[1]) / degrees, out=both), degrees


def _separate(
    squares: list[NDArray[np.float32]], counts: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the same of a variance for each period, by Welch's equation."""
    parts = [np.maximum(s, 0) / (n * (n - 1)) for s, n in zip(squares, counts, strict=True)]
    variance = parts[0] + parts[1]
    bottom = parts[0] * parts[0] / (counts[0] - 1) + parts[1] * parts[1] / (counts[1] - 1)
    least = np.minimum(counts[0], counts[1]) - 1
    return variance, np.where(bottom > 0, variance**2 / np.maximum(bottom, np.float32(1e-30)), least)
