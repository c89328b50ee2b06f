"""Changes at unknown dates in a series of radar: the sequential omnibus test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import THREADS, Buffers, run_blocks, spans, wide_tiles
from changedet.core.expansion import Expansion, TabledTail
from changedet.core.radar_stack import LEAST_POWER, all_ordinary, check_stack, direction_of, usable_dates

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Marks a pixel without a change where a date is named.
NO_DATE = -1
#: Power of one tile on all dates: calls have to be long beside handing the interpreter to the other thread.
_TILE_BYTES = 4_000_000
#: Pixels of a tile, at least: each date is read in runs of so many.
_LEAST_PIXELS = 4096
#: Pixels that are searched at one time.
_SEARCHED_PIXELS = 4096


@dataclass(frozen=True)
class OmnibusParameters:
    """Parameters of `omnibus`.

    Attributes
    ----------
    looks : float
        Equivalent number of looks of one date, multilooking included. An estimate from the series itself
        (`changedet.core.speckle.equivalent_looks`) counts as speckle what flickers; looks of the product do
        not, and then ground that flickers raises false alarms.
    false_alarms : float
        Share of unaltered pixels at which the whole series, and then each of its intervals, is taken to have
        changed.
    """

    looks: float = 22.0
    false_alarms: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.looks < np.inf or not 0 < self.false_alarms < 1:
            message = (
                f"looks of {self.looks} and a share of false alarms of {self.false_alarms}: "
                "give positive looks and a share between 0 and 1"
            )
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Omnibus:
    """The outcome of `omnibus`.

    Attributes
    ----------
    statistic : ndarray of float32, shape (y, x)
        ``-2 rho ln Q`` of the whole series; NaN where fewer than two dates see the pixel.
    p_value : ndarray of float32, shape (y, x)
        Share of unaltered pixels whose statistic would be larger, were speckle all there is.
    changes : ndarray of uint8, shape (time - 1, y, x)
        For each interval, named after the date that ends it, the `changedet.core.radar_stack.Direction` of a
        change found there. Where that date follows a gap, the change lies anywhere after the last date that
        saw the pixel.
    first, last : ndarray of int16, shape (y, x)
        The dates that end the first and the last interval with a change; `NO_DATE` where none was found.
    unchanged_until : ndarray of int16, shape (y, x)
        The last date that sees the pixel before `first`; `NO_DATE` where none was found.
    count : ndarray of int16, shape (y, x)
        Number of changes.
    """

    statistic: NDArray[np.float32]
    p_value: NDArray[np.float32]
    changes: NDArray[np.uint8]
    first: NDArray[np.int16]
    last: NDArray[np.int16]
    unchanged_until: NDArray[np.int16]
    count: NDArray[np.int16]


def omnibus(
    stack: NDArray[np.float32],
    parameters: OmnibusParameters = OmnibusParameters(),
    *,
    threads: int = THREADS,
) -> Omnibus:
    """Find the intervals of a series in which power changed, without knowing when.

    For n looks and polarisations that speckle independently (the diagonal of the covariance matrix), with
    means M of the first j dates,

        -2 ln R_j = -2 n sum over pol of [ (j - 1) ln(M_(j-1) / M_j) + ln(X_j / M_j) ]
        -2 ln Q = sum over j of -2 ln R_j = -2 n sum over pol and dates of ln(X / M_k)

    Q tests whether all k dates are equal, R_j whether date j equals those before it. Their distributions lie
    near chi-square (`Expansion`). Where Q rejects, the first date that
    R_j rejects is a change; the search starts again from it, as long as Q of what is left rejects (Conradsen,
    Nielsen and Skriver 2016, doi:10.1109/TGRS.2015.2510160; Canty, Nielsen, Conradsen and Skriver 2020,
    doi:10.3390/rs12010046). A direction is that of date j less the mean before it: mixed when polarisations
    disagree.

    A change that is known to lie between two periods is found better by
    `changedet.core.likelihood_ratio.likelihood_ratio`.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit, in order of time, multilooked and of one level; NaN where a
        date does not see a pixel. A date counts where every polarisation is finite.
    parameters : OmnibusParameters
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    Omnibus

    Raises
    ------
    ValueError
        When the stack has another shape or type.

    Examples
    --------
    >>> stack = np.ones((8, 2, 1, 1), np.float32)
    >>> stack[5:] *= 3
    >>> found = omnibus(stack)
    >>> found.first.item(), found.count.item(), found.changes.ravel().tolist()
    (5, 1, [0, 0, 0, 0, 1, 0, 0])
    """
    check_stack(stack)
    shape = stack.shape[2:]
    result = Omnibus(
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.zeros((len(stack) - 1, *shape), np.uint8),
        np.full(shape, NO_DATE, np.int16),
        np.full(shape, NO_DATE, np.int16),
        np.full(shape, NO_DATE, np.int16),
        np.zeros(shape, np.int16),
    )
    tables = _Tables.of(len(stack), stack.shape[1], parameters)

    buffers, changed = Buffers(), np.zeros(shape, bool)

    def _work(tile: tuple[slice, slice]) -> None:
        whole = (slice(None), slice(None), *tile)
        statistic, changed[tile], p_value = _series(stack[whole], tables, buffers)
        result.statistic[tile], result.p_value[tile] = statistic, p_value

    pixels = max(_LEAST_PIXELS, _TILE_BYTES // (4 * len(stack) * stack.shape[1]))
    run_blocks(_work, wide_tiles((shape[0], shape[1]), pixels), threads)
    places = np.nonzero(changed)

    def _search(part: slice) -> None:
        _note_search(result, stack, (places[0][part], places[1][part]), tables)

    run_blocks(_search, spans(len(places[0]), _SEARCHED_PIXELS), threads)
    return result


@dataclass(frozen=True, eq=False)
class _Tables:
    """What both statistics are multiplied by and compared with, by number of dates; 0 and 1 stand empty."""

    series: tuple[TabledTail, ...]
    series_scale: NDArray[np.float64]
    series_critical: NDArray[np.float64]
    date_scale: NDArray[np.float64]
    date_critical: NDArray[np.float64]

    @classmethod
    def of(cls, dates: int, pols: int, parameters: OmnibusParameters) -> _Tables:
        """Make the tables for so many dates and polarisations."""
        looks, share = parameters.looks, parameters.false_alarms
        numbers = range(2, dates + 1)
        series = tuple(Expansion.of_series(n, pols, looks) for n in numbers)
        each = tuple(Expansion.of_date(n, pols, looks) for n in numbers)
        empty = [np.full(2, 0.0), np.full(2, np.inf)]
        return cls(
            tuple(TabledTail(one) for one in series),
            *(
                np.concatenate([start, values])
                for kind in (series, each)
                for start, values in zip(
                    empty,
                    ([2 * looks * one.rho for one in kind], [one.critical(share) for one in kind]),
                    strict=True,
                )
            ),
        )


def _series(
    stack: NDArray[np.float32], tables: _Tables, buffers: Buffers
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return of a tile the statistic, whether it rejects, and the share above it."""
    usable = None if all_ordinary(stack) else usable_dates(stack)
    count = np.full(stack.shape[2:], len(stack)) if usable is None else usable.sum(axis=0)
    statistic = _series_statistic(stack, usable, buffers) * tables.series_scale[count]
    p_value = _series_tail(statistic, count, tables)
    return np.where(count > 1, statistic, np.nan), statistic > tables.series_critical[count], p_value


def _note_search(
    result: Omnibus,
    stack: NDArray[np.float32],
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    tables: _Tables,
) -> None:
    """Search some pixels and write what is found."""
    picked = stack[:, :, places[0], places[1]]
    found = _Search(picked.astype(np.float64), usable_dates(picked[..., None])[..., 0], tables).run()
    result.changes[:, places[0], places[1]] = found.changes
    result.first[places] = found.first
    result.last[places] = found.last
    result.unchanged_until[places] = found.unchanged_until
    result.count[places] = found.count


def _series_statistic(
    stack: NDArray[np.float32], usable: NDArray[np.bool_] | None, buffers: Buffers
) -> NDArray[np.float64]:
    """Return the sum over polarisations and dates of -ln(X / M), shape (y, x)."""
    dates, pols, *shape = stack.shape
    pixels = shape[0] * shape[1]
    product, ratio = buffers.planes(2, (dates, pixels))
    seen = None if usable is None else usable.reshape(dates, pixels)
    count = np.float32(dates) if seen is None else np.maximum(seen.sum(axis=0), 1).astype(np.float32)
    for pol in range(pols):
        power = stack[:, pol].reshape(dates, pixels)
        if seen is not None:
            power = np.where(seen, np.maximum(power, np.float32(LEAST_POWER)), np.float32(0))
        mean = np.maximum(np.add.reduce(power, axis=0) / count, np.float32(1e-30))
        np.divide(power, mean, out=ratio if pol else product)
        if pol:
            np.multiply(product, ratio, out=product)
    if seen is not None:
        np.copyto(product, 1, where=~seen)
    # one logarithm for all polarisations; far below its mean, power of several could underflow
    np.maximum(product, np.float32(1e-37), out=product)
    cv2.log(product, product)
    total = np.add.reduce(product, axis=0).astype(np.float64).reshape(shape)
    return np.asarray(np.maximum(-total, 0))


def _series_tail(
    statistic: NDArray[np.float64], count: NDArray[np.int64], tables: _Tables
) -> NDArray[np.float64]:
    tail = np.full(count.shape, np.nan)
    for number in np.unique(count[count > 1]):
        where = count == number
        tail[where] = tables.series[number - 2](statistic[where])
    return tail


@dataclass(frozen=True, eq=False)
class _Found:
    """Outcome of a search, by pixel; fields as in `Omnibus`."""

    changes: NDArray[np.uint8]
    first: NDArray[np.int16]
    last: NDArray[np.int16]
    unchanged_until: NDArray[np.int16]
    count: NDArray[np.int16]


class _Search:
    """The search for changes in pixels whose whole series changed, all pixels date by date.

    Parameters
    ----------
    values : ndarray of float64, shape (time, pol, pixel)
        Anything where not usable.
    usable : ndarray of bool, shape (time, pixel)
    tables : _Tables
    """

    def __init__(self, values: NDArray[np.float64], usable: NDArray[np.bool_], tables: _Tables) -> None:
        self._values = np.where(usable[:, None], np.maximum(values, 1e-6), 1.0)
        self._usable = usable
        self._tables = tables

    def run(self) -> _Found:
        """Go through the dates once."""
        values, usable, tables = self._values, self._usable, self._tables
        dates, pols, pixels = values.shape
        found = _Found(
            np.zeros((dates - 1, pixels), np.uint8),
            np.full(pixels, NO_DATE, np.int16),
            np.full(pixels, NO_DATE, np.int16),
            np.full(pixels, NO_DATE, np.int16),
            np.zeros(pixels, np.int16),
        )
        going = self._rest_changed()
        number, mean = np.zeros(pixels, np.int64), np.ones((pols, pixels))
        searching, latest = np.ones(pixels, bool), np.full(pixels, NO_DATE, np.int16)
        for index in range(dates):
            seen = usable[index] & searching
            number += seen
            weight = np.where(seen, 1 / np.maximum(number, 1), 0.0)
            joined = mean + weight * (values[index] - mean)
            parts = (number - 1) * np.log(mean / joined) + np.log(values[index] / joined)
            statistic = -parts.sum(axis=0) * tables.date_scale[number]
            changed = seen & (statistic > tables.date_critical[number])
            if changed.any():
                self._note(found, changed, index, (values[index] - mean, latest))
                number = np.where(changed, 1, number)
                joined = np.where(changed, values[index], joined)
                searching &= ~changed | going[index]
            mean = joined
            latest[usable[index]] = index
        return found

    @staticmethod
    def _note(
        found: _Found,
        changed: NDArray[np.bool_],
        index: int,
        step: tuple[NDArray[np.float64], NDArray[np.int16]],
    ) -> None:
        difference, latest = step
        found.changes[index - 1, changed] = direction_of(difference[:, changed])
        earliest = changed & (found.count == 0)
        found.first[earliest] = index
        found.unchanged_until[earliest] = latest[earliest]
        found.last[changed] = index
        found.count[changed] += 1

    def _rest_changed(self) -> NDArray[np.bool_]:
        """Say for every date whether the series from there on changed, shape (time, pixel)."""
        values, tables = self._values, self._tables
        number = np.zeros(values.shape[2], np.int64)
        total, logs = np.zeros(values.shape[1:]), np.zeros(values.shape[2])
        going = np.zeros(self._usable.shape, bool)
        for index in range(len(values) - 1, -1, -1):
            seen = self._usable[index]
            number += seen
            total += np.where(seen, values[index], 0.0)
            logs += np.where(seen, np.log(values[index]).sum(axis=0), 0.0)
            many = np.maximum(number, 1)
            usual = np.log(np.where(number > 0, total, 1.0) / many).sum(axis=0)
            statistic = (number * usual - logs) * tables.series_scale[number]
            going[index] = statistic > tables.series_critical[number]
        return going
