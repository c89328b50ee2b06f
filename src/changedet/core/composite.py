"""One image out of several dates: per pixel the median, or the real observation that is nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import run_blocks
from changedet.core.medians import Gaps, date_blocks, middle_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Marks a pixel that no date shows in `Composite.date`.
NO_DATE = -1


@dataclass(frozen=True, eq=False)
class Composite:
    """Several dates as one image.

    Attributes
    ----------
    data : ndarray of float32, shape (band, y, x)
        In the unit of the dates; NaN in every band where no date is usable.
    date : ndarray of int16, shape (y, x)
        Index of the date that each pixel came from, or is nearest to; `NO_DATE` where there is none.
    count : ndarray of int16, shape (y, x)
        Number of dates that are usable there.
    """

    data: NDArray[np.float32]
    date: NDArray[np.int16]
    count: NDArray[np.int16]


def medoid_composite(stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> Composite:
    """Take from each pixel's usable dates the whole observation that is nearest to their median.

    The medoid of Flood 2013 (doi:10.3390/rs5126481), with the distance to the median of each band in place of
    the sum of distances between all dates. Every pixel stays one observation of one date: its bands belong
    together, and it can be said when it was seen. A median mixes the dates of its bands.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, band, y, x)
        The dates in one radiometry, the preferred one first.
    valid : ndarray of bool, shape (time, y, x)
        True where a date is usable. A pixel with a NaN or an infinity in any band is not, whatever is said
        here.

    Returns
    -------
    Composite
        Of equally near dates the first is taken; so of two dates always the first.

    Raises
    ------
    ValueError
        When the shapes disagree or there is no date.

    Examples
    --------
    >>> stack = np.array([0.1, 0.9, 0.2], np.float32).reshape(3, 1, 1, 1)
    >>> found = medoid_composite(stack, np.ones((3, 1, 1), bool))
    >>> found.date.item(), round(found.data.item(), 3), found.count.item()
    (2, 0.2, 3)
    """
    composite = _empty(stack, valid)

    def _work(rows: slice) -> None:
        block, usable = stack[:, :, rows], _usable(stack, valid, rows)
        date = _nearest(block, usable, _medians(block, usable))
        for index, observed in enumerate(block):
            np.copyto(composite.data[:, rows], observed, where=date == index)
        _note(composite, rows, date, usable)

    run_blocks(_work, date_blocks(stack.shape[2:]))
    return composite


def median_composite(stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> Composite:
    """Take the median of each pixel's usable dates, band by band.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, band, y, x)
        As in `medoid_composite`.
    valid : ndarray of bool, shape (time, y, x)
        As in `medoid_composite`.

    Returns
    -------
    Composite
        `Composite.date` is the date nearest to the median in all bands together; the values need not be those
        of any date. An even number of dates gives the mean of the two in the middle.

    Raises
    ------
    ValueError
        When the shapes disagree or there is no date.

    Examples
    --------
    >>> stack = np.array([0.1, 0.9, 0.2], np.float32).reshape(3, 1, 1, 1)
    >>> round(median_composite(stack, np.ones((3, 1, 1), bool)).data.item(), 3)
    0.2
    """
    composite = _empty(stack, valid)

    def _work(rows: slice) -> None:
        block, usable = stack[:, :, rows], _usable(stack, valid, rows)
        medians = _medians(block, usable)
        np.copyto(composite.data[:, rows], medians, casting="same_kind")
        _note(composite, rows, _nearest(block, usable, medians), usable)

    run_blocks(_work, date_blocks(stack.shape[2:]))
    return composite


def _empty(stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> Composite:
    if stack.ndim != 4 or len(stack) == 0 or valid.shape != (len(stack), *stack.shape[2:]):
        message = f"a stack of shape {stack.shape} and valid of shape {valid.shape} are not several dates"
        raise ValueError(message)
    shape = stack.shape[2:]
    return Composite(
        np.full(stack.shape[1:], np.nan, np.float32),
        np.full(shape, NO_DATE, np.int16),
        np.zeros(shape, np.int16),
    )


def _usable(stack: NDArray[np.float32], valid: NDArray[np.bool_], rows: slice) -> NDArray[np.bool_]:
    """Return where dates are usable and finite in every band, shape (time, y, x), for some rows."""
    usable = valid[:, rows].copy()
    for band in range(stack.shape[1]):
        usable &= np.isfinite(stack[:, band, rows])
    return usable


def _note(composite: Composite, rows: slice, date: NDArray[np.int16], usable: NDArray[np.bool_]) -> None:
    composite.date[rows] = date
    composite.count[rows] = usable.sum(axis=0)


def _medians(block: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the medians over time, shape (band, y, x): exact, so that what is equally near stays so."""
    gaps = Gaps.of(usable)
    medians = np.empty(block.shape[1:])
    for band, out in enumerate(medians):
        lower, upper = middle_pair(block[:, band], gaps)
        with np.errstate(invalid="ignore"):
            np.add(lower, upper, out=out, dtype=np.float64)
        np.multiply(out, 0.5, out=out)
    np.copyto(medians, np.nan, where=gaps.count == 0)
    return medians


def _nearest(
    block: NDArray[np.float32], usable: NDArray[np.bool_], medians: NDArray[np.float64]
) -> NDArray[np.int16]:
    """Return the index of the date nearest to the medians in all bands, the first of equals, shape (y, x)."""
    date = np.full(usable.shape[1:], NO_DATE, np.int16)
    least = np.full(usable.shape[1:], np.inf)
    distance, difference = np.empty_like(least), np.empty_like(least)
    for index, (observed, seen) in enumerate(zip(block, usable, strict=True)):
        distance.fill(0)
        for values, median in zip(observed, medians, strict=True):
            np.subtract(values, median, out=difference)
            np.multiply(difference, difference, out=difference)
            np.add(distance, difference, out=distance)
        nearer = (distance < least) & seen
        np.copyto(date, np.int16(index), where=nearer)
        np.copyto(least, distance, where=nearer)
    return date
