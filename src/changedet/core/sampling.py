"""A reproducible sample of the usable pixels, on which statistics are fitted, and its medians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from changedet.core.blocks import spans
from changedet.core.planes import over_rows, relieve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: From a median absolute deviation to the standard deviation of a normal distribution.
MAD_TO_SPREAD = 1.4826
#: Pixels that are looked through at one time.
_BLOCK_PIXELS = 1 << 16
# So many pixels from all over a plane bring many times their own memory with them.
_TAKEN_AT_ONCE = 1 << 11
#: The median of more pixels than this is found without a copy of them, by the help of so large a sample: it
#: lies within such shares of the numbers round that of the sample, or else in a wider span.
_BRACKETED_FROM, _BRACKET_SAMPLE = 1 << 22, 1 << 18
_BRACKETS = (0.005, 0.05)

Floating = TypeVar("Floating", np.float32, np.float64)


def sample_index(valid: NDArray[np.bool_], size: int, seed: int) -> NDArray[np.intp]:
    """Draw usable pixels.

    Parameters
    ----------
    valid : ndarray of bool, shape (y, x)
        True where usable.
    size : int
        Largest number of pixels; all are taken when there are fewer.
    seed : int
        Same seed, same pixels.

    Returns
    -------
    ndarray of int, shape (pixel,)
        Positions in the flattened grid, ascending.
    """
    usable = int(np.count_nonzero(valid))
    if usable <= size:
        return np.flatnonzero(valid)
    chosen = np.sort(np.random.default_rng(seed).choice(usable, size, replace=False))
    if usable == valid.size:
        return chosen
    return _positions(valid.reshape(-1), chosen)


def sample_pixels(
    images: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_], size: int, seed: int
) -> tuple[NDArray[np.float64], ...]:
    """Draw the same usable pixels from several images.

    Parameters
    ----------
    images : sequence of ndarray of float32, each of shape (band, y, x)
        On the same grid.
    valid : ndarray of bool, shape (y, x)
        True where all images are usable.
    size : int
        Largest number of pixels; all are taken when there are fewer.
    seed : int
        Same seed, same pixels.

    Returns
    -------
    tuple of ndarray of float64, each of shape (band, pixel)
        In raster order, one for each image.
    """
    index = sample_index(valid, size, seed)
    return tuple(_taken(image, index) for image in images)


def _taken(image: NDArray[np.float32], index: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.stack([values_at(plane, index).astype(np.float64) for plane in image])


def values_at(plane: NDArray[Floating], index: NDArray[np.intp]) -> NDArray[Floating]:
    """Return what stands at some pixels of a plane.

    Parameters
    ----------
    plane : ndarray, shape (y, x)
        Any.
    index : ndarray of int, shape (n, ...)
        Positions in the flattened plane, such as from `sample_index`.

    Returns
    -------
    ndarray, shape (n, ...)

    Examples
    --------
    >>> values_at(np.float32([[1, 2], [3, 4]]), np.array([3, 0])).tolist()
    [4.0, 1.0]
    """
    flat, out = plane.reshape(-1), np.empty(index.shape, plane.dtype)
    for some in spans(len(index), _TAKEN_AT_ONCE):
        out[some] = flat.take(index[some])
        relieve()
    return out


def _positions(usable: NDArray[np.bool_], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where the usable pixels with the given numbers, ascending, lie, without a list of them all."""
    found, counted = np.empty_like(chosen), 0
    for start in range(0, usable.size, _BLOCK_PIXELS):
        here = np.flatnonzero(usable[start : start + _BLOCK_PIXELS])
        first, last = np.searchsorted(chosen, (counted, counted + len(here)))
        found[first:last] = start + here[chosen[first:last] - counted]
        counted += len(here)
    return found


def last_axis_median(values: NDArray[Floating]) -> NDArray[Floating]:
    """Median along the last axis, the same as NumPy's but with one selection instead of three.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (..., n)
        No NaN, and n at least 1.

    Returns
    -------
    ndarray of the same dtype, shape (...)

    Examples
    --------
    >>> last_axis_median(np.array([[4.0, 1.0, 3.0, 2.0], [5.0, 5.0, 9.0, 7.0]])).tolist()
    [2.5, 6.0]
    """
    half = values.shape[-1] // 2
    parted = np.partition(values, half, axis=-1)
    upper = parted[..., half]
    if values.shape[-1] % 2:
        return upper
    return np.asarray((parted[..., :half].max(axis=-1) + upper) / 2, values.dtype)


def plane_median(function: Callable[..., NDArray[np.float32]], *planes: NDArray[Any]) -> float:
    """Median of numbers that follow from the pixels of planes, exact and with little memory.

    Of large planes a sample says between which two numbers the median must lie; the numbers in between are
    sorted, the others only counted (the idea of Floyd and Rivest 1975, doi:10.1145/360680.360691).

    Parameters
    ----------
    function : callable
        Given the same pixels of every plane, it returns finite numbers, float32, shape (n,).
    *planes : ndarray, shape (..., y, x)
        At least one.

    Returns
    -------
    float
        As `last_axis_median` of all these numbers; NaN when there are none.

    Examples
    --------
    >>> plane_median(lambda part: part[part > 0], np.float32([[0, 3, 1], [0, 0, 2]]))
    2.0
    """
    pixels = planes[0].shape[-2] * planes[0].shape[-1]
    if not pixels:
        return float("nan")
    if pixels > _BRACKETED_FROM:
        step = max(1, math.isqrt(pixels // _BRACKET_SAMPLE))
        sample = np.sort(function(*(plane[..., ::step, ::step] for plane in planes)))
        for share in _BRACKETS if sample.size else ():
            ends = sample[[int((0.5 + sign * share) * (sample.size - 1)) for sign in (-1, 1)]]
            found = _middle_between(_Between.of(function, planes, ends))
            if found is not None:
                return found
    values = np.concatenate(over_rows(function, *planes))
    return float(last_axis_median(values)) if values.size else float("nan")


@dataclass(frozen=True)
class _Between:
    """How many numbers lie below two ends and at them, and those in between, sorted."""

    ends: NDArray[np.float32]
    below: int
    at_low: int
    inside: NDArray[np.float32]
    at_high: int
    total: int

    @classmethod
    def of(
        cls,
        function: Callable[..., NDArray[np.float32]],
        planes: tuple[NDArray[Any], ...],
        ends: NDArray[np.float32],
    ) -> _Between:
        """Look through the planes once."""
        low, high = ends

        def _look(*parts: NDArray[Any]) -> tuple[list[int], NDArray[np.float32]]:
            values = function(*parts)
            counted = values < low, values == low, values == high, np.isfinite(values)
            within = values[(values > low) & (values < high)]
            return [int(np.count_nonzero(one)) for one in counted], within

        found = over_rows(_look, *planes)
        below, at_low, at_high, total = (sum(counts[i] for counts, _ in found) for i in range(4))
        inside = np.sort(np.concatenate([within for _, within in found]))
        return cls(ends, below, at_low, inside, at_high if high > low else 0, total)

    def value(self, rank: int) -> np.float32 | None:
        """Return the number of a rank, None when it does not lie between the ends."""
        place = rank - self.below
        if place < 0:
            return None
        if place < self.at_low:
            return np.float32(self.ends[0])
        place -= self.at_low
        if place < self.inside.size:
            return np.float32(self.inside[place])
        return np.float32(self.ends[1]) if place < self.inside.size + self.at_high else None


def _middle_between(counted: _Between) -> float | None:
    """Return the median if it lies between the ends."""
    ranks = (counted.total - 1) // 2, counted.total // 2
    lower, upper = (counted.value(rank) for rank in ranks)
    if lower is None or upper is None:
        return None
    return float(lower if ranks[0] == ranks[1] else np.float32((lower + upper) / 2))
