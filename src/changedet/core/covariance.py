"""Means and covariances of the bands of whole images, in one pass over them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Generic

import numpy as np

from changedet.core.blocks import THREADS, run_blocks
from changedet.core.planes import relieve
from changedet.core.sampling import Floating

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Weigh = Callable[[NDArray[Floating], NDArray[np.float64]], NDArray[Floating]]

# a product of matrices with fewer multiplications is left by BLAS to the thread that asked for it, so that
# what is summed in which order does not depend on how many there are
_PRODUCT = 250_000
# pixels of a block, whose buffer stays in the cache of a core, and of a task: few, so that threads end alike
_BLOCK_PIXELS = 16 * 1024
_TASK_PIXELS = 4 * _BLOCK_PIXELS
_PILOT_PIXELS = 4096
# keeps the rows of a buffer from starting in the same set of the cache
_PADDING = 16
_KERNEL_ROWS = 4


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted mean and covariance of bands.

    Attributes
    ----------
    weight : float
        Sum of the weights; the number of pixels where each counts 1.
    mean : ndarray of float64, shape (band,)
        In the unit of the bands.
    covariance : ndarray of float64, shape (band, band)
        In squared units of the bands, divided by the sum of the weights, not by one less.
    """

    weight: float
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def weighted_moments(
    stacks: Sequence[NDArray[Floating]],
    valid: NDArray[np.bool_] | None = None,
    weight: NDArray[Floating] | None = None,
    *,
    weigh: Weigh[Floating] | None = None,
    threads: int = THREADS,
) -> Moments:
    """Return mean and covariance of all bands of some stacks together, reading every pixel once.

    Blocks that fit the cache are centred on a rough mean, given a row of ones and multiplied by their own
    transpose in the precision they have, which yields sums of products, sums and number at the same time;
    blocks are added in float64, in a fixed order.

    Parameters
    ----------
    stacks : sequence of ndarray of float32 or float64, each of shape (band, ...)
        On one grid, all of one dtype; those whose rows follow each other are not copied.
    valid : ndarray of bool, shape (...), optional
        True where all are usable; everywhere by default. What is not usable has no influence, NaN included.
    weight : ndarray of the same dtype, shape (...), optional
        Not negative, and finite where `valid`.
    weigh : callable, optional
        In place of `weight`, so that weights need not be kept: it is given usable pixels less a rough mean,
        shape (batch, band, pixel), and that mean, shape (band,), and returns weights, shape (batch, pixel).
    threads : int
        How many work at a time; the result does not depend on it, not in the last digit either.

    Returns
    -------
    Moments
        Zero weight, and NaN, when no pixel is usable. The error of the covariance is far below 1e-6 of the
        product of the standard deviations.

    Raises
    ------
    ValueError
        When shapes disagree.

    Examples
    --------
    >>> moments = weighted_moments([np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])])
    >>> moments.mean.tolist(), moments.covariance.round(6).tolist()
    ([2.0, 4.0], [[0.666667, 1.333333], [1.333333, 2.666667]])
    """
    shapes = {stack.shape[1:] for stack in stacks} | {one.shape for one in (valid, weight) if one is not None}
    if len(shapes) > 1:
        message = f"stacks, valid and weight must be on one grid, not {sorted(shapes)}"
        raise ValueError(message)
    flat = tuple(stack.reshape(len(stack), -1) for stack in stacks)
    usable = None if valid is None else valid.reshape(-1)
    given = None if weight is None else weight.reshape(-1)
    reading = _Reading(flat, usable, given, weigh, _rough_mean(flat, usable))
    pixels = flat[0].shape[1]
    tasks = [slice(start, min(start + _TASK_PIXELS, pixels)) for start in range(0, pixels, _TASK_PIXELS)]
    sums = np.zeros((len(tasks), len(reading.centre) + 1, len(reading.centre) + 1))

    def add(task: slice) -> None:
        """Sum one task, in a place of its own."""
        sums[task.start // _TASK_PIXELS] = reading.sums(task)
        relieve()

    run_blocks(add, tasks, threads)
    return _moments_of(sums.sum(axis=0), reading.centre)


def batches(rows: NDArray[Floating]) -> NDArray[Floating]:
    """View bands as batches of pixels, small enough for BLAS to multiply each in the calling thread.

    Parameters
    ----------
    rows : ndarray of float32 or float64, shape (band, pixel)
        The number of pixels a multiple of `batch_pixels` of the number of bands.

    Returns
    -------
    ndarray of the same dtype, shape (batch, band, batch_pixels)
        A view.
    """
    bands, pixels = rows.shape
    size = batch_pixels(bands)
    return rows.reshape(bands, pixels // size, size).swapaxes(0, 1)


@lru_cache
def batch_pixels(bands: int) -> int:
    """Return how many pixels a batch has.

    Parameters
    ----------
    bands : int
        Rows of a batch.

    Returns
    -------
    int
        A power of 2, from 64 to 2048.

    Examples
    --------
    >>> batch_pixels(13), batch_pixels(21)
    (1024, 512)
    """
    return int(2 ** np.clip(np.floor(np.log2(_PRODUCT / (bands * (bands + 1)))), 6, 11))


@dataclass(frozen=True, eq=False)
class _Reading(Generic[Floating]):
    """One pass over flat stacks; `own` is what each thread keeps from block to block."""

    stacks: tuple[NDArray[Floating], ...]
    valid: NDArray[np.bool_] | None
    weight: NDArray[Floating] | None
    weigh: Weigh[Floating] | None
    centre: NDArray[np.float64]
    own: threading.local = field(default_factory=threading.local)

    def sums(self, task: slice) -> NDArray[np.float64]:
        """Weighted sums of products, of bands, and of ones of some pixels."""
        bands = len(self.centre)
        # rows of zeros up to a whole number of the BLAS kernel's, which handles a rest far more slowly
        rows = -(-(bands + 1) // _KERNEL_ROWS) * _KERNEL_ROWS
        scratch: NDArray[Floating] | None = getattr(self.own, "scratch", None)
        if scratch is None:
            scratch = np.zeros((rows, _BLOCK_PIXELS + _PADDING), self.stacks[0].dtype)[:, :_BLOCK_PIXELS]
            self.own.scratch = scratch
        total = np.zeros((rows, rows))
        for start in range(task.start, task.stop, _BLOCK_PIXELS):
            block = slice(start, min(start + _BLOCK_PIXELS, task.stop))
            filled = self._fill(scratch, block)
            if filled.shape[1]:
                each = batches(filled)
                if self.weigh is not None:
                    weight = self.weigh(each[:, :bands], self.centre).reshape(-1)
                    filled[: bands + 1] *= np.sqrt(weight)
                total += np.matmul(each, each.swapaxes(1, 2)).sum(axis=0, dtype=np.float64)
        return total[: bands + 1, : bands + 1]

    def _fill(self, scratch: NDArray[Floating], block: slice) -> NDArray[Floating]:
        """Copy the usable pixels of a block less the centre over a row of ones; zeros up to a whole batch."""
        index = None if self.valid is None else np.flatnonzero(self.valid[block])
        count = block.stop - block.start if index is None else len(index)
        if count == block.stop - block.start:
            index = None
        centre = self.centre.astype(scratch.dtype)[:, None]
        first = 0
        for stack in self.stacks:
            part = slice(first, first + len(stack))
            pixels = stack[:, block] if index is None else stack[:, block].take(index, axis=1)
            np.subtract(pixels, centre[part], out=scratch[part, :count])
            first = part.stop
        scratch[first, :count] = 1
        if self.weight is not None:
            weight = self.weight[block] if index is None else self.weight[block].take(index)
            scratch[: first + 1, :count] *= np.sqrt(weight)
        whole = -(-count // batch_pixels(len(scratch))) * batch_pixels(len(scratch))
        scratch[:, count:whole] = 0
        return scratch[:, :whole]


def _rough_mean(
    stacks: tuple[NDArray[Floating], ...], valid: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Mean of a few thousand pixels; 0 where none of them is usable."""
    step = max(1, stacks[0].shape[1] // _PILOT_PIXELS)
    keep = slice(None) if valid is None else valid[::step]
    pilots = [stack[:, ::step][:, keep].astype(np.float64) for stack in stacks]
    if not pilots[0].shape[1]:
        return np.zeros(sum(len(stack) for stack in stacks))
    # what is taken off a block has its precision, so the mean must be a number of that precision
    means = np.concatenate([pilot.mean(axis=1) for pilot in pilots])
    return means.astype(stacks[0].dtype).astype(np.float64)


def _moments_of(sums: NDArray[np.float64], centre: NDArray[np.float64]) -> Moments:
    weight = float(sums[-1, -1])
    if weight <= 0:
        return Moments(0.0, np.full(len(centre), np.nan), np.full((len(centre), len(centre)), np.nan))
    offset = sums[:-1, -1] / weight
    covariance = sums[:-1, :-1] / weight - np.outer(offset, offset)
    return Moments(weight, centre + offset, (covariance + covariance.T) / 2)
