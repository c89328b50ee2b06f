"""A reproducible sample of the usable pixels, on which statistics are fitted, and its medians."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: From a median absolute deviation to the standard deviation of a normal distribution.
MAD_TO_SPREAD = 1.4826
#: Pixels that are looked through at one time.
_BLOCK_PIXELS = 1 << 16

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
    # taken, not indexed: that lays pixel after pixel, and medians along a band then take ten times as long
    return tuple(image.reshape(len(image), -1).take(index, axis=1).astype(np.float64) for image in images)


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
