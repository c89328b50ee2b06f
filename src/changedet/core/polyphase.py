"""Between grids that lie side by side: the same small kernels serve every so many pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels that are interpolated at one time: a gap in the source leaves out a tile of this many.
_TILE_PX = (256, 512)
#: Pixels of the source before and after the one that holds a position which the kernel needs.
_BEFORE_PX, _AFTER_PX = 1, 2
_TIE_PX = 1e-10

Tile = tuple[slice, slice]


def interpolate_phases(
    plane: NDArray[np.float32],
    missing: NDArray[np.bool_],
    first_px: tuple[float, float],
    finer: int,
    out: NDArray[np.float32],
) -> list[Tile]:
    """Interpolate a plane at the pixels of a grid a whole number of times as fine as its own.

    Every so many pixels of such a grid stand at the same fraction of a pixel of the source, so that the same
    weights serve them all. Cubic convolution with a = -0.5: Keys 1981, doi:10.1109/TASSP.1981.1163711; the
    sums are made in double precision. Where the kernel would leave the source, up to half a pixel beyond the
    centres of its outermost pixels, two pixels on each axis make a straight line, as GDAL has it.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        The source.
    missing : ndarray of bool, shape (y, x)
        True where it has no data.
    first_px : tuple of float
        Row and column of the source where the first pixel of the result stands; (0, 0) is the centre of its
        first pixel.
    finer : int
        How many pixels of the result stand side by side in one of the source, 1 or more.
    out : ndarray of float32, shape of the result
        NaN; written where the kernel meets data only.

    Returns
    -------
    list of pairs of slice
        Rows and columns of the result that were not written because there are gaps near them, and data.

    Examples
    --------
    >>> plane = np.arange(8, dtype=np.float32)[None].repeat(8, 0)
    >>> out = np.full((16, 16), np.nan, np.float32)
    >>> interpolate_phases(plane, plane < 0, (-0.25, -0.25), 2, out)
    []
    >>> out[8, :4].tolist()
    [0.0, 0.25, 0.75, 1.25]
    """
    axes = [_pieces(*axis, finer) for axis in zip(first_px, out.shape, plane.shape, _TILE_PX, strict=True)]
    left = []
    for rows, rows_inside in axes[0]:
        for columns, columns_inside in axes[1]:
            reach = _reach(rows, first_px[0], finer), _reach(columns, first_px[1], finer)
            gaps = missing[reach]
            if gaps.all():
                continue
            if gaps.any():
                left.append((rows, columns))
            elif rows_inside and columns_inside:
                _interpolate(plane[reach], (rows, columns), first_px, finer, out)
            else:
                _at_the_edge(plane, (rows, columns), first_px, finer, out)
    return left


def nearest_phases(
    plane: NDArray[np.uint8], first_px: tuple[float, float], finer: int, out: NDArray[np.uint8]
) -> None:
    """Take the nearest pixel at the pixels of a grid a whole number of times as fine as that of a plane.

    Parameters
    ----------
    plane : ndarray of uint8, shape (y, x)
        The source.
    first_px, finer
        As for `interpolate_phases`.
    out : ndarray of uint8, shape of the result
        Written where there is a source.

    Returns
    -------
    None

    Examples
    --------
    >>> out = np.zeros((1, 6), np.uint8)
    >>> nearest_phases(np.array([[1, 2]], np.uint8), (0.0, -0.75), 2, out)
    >>> out.tolist()
    [[0, 1, 1, 2, 2, 0]]
    """
    kept, taken = [], []
    for first, length, source_px in zip(first_px, out.shape, plane.shape, strict=True):
        # a position between two pixels belongs to the later one, whatever the last digit says
        cells = np.floor(first + np.arange(length) / finer + 0.5 + _TIE_PX).astype(np.intp)
        inside = (cells >= 0) & (cells < source_px)
        start = int(np.argmax(inside))
        count = int(np.count_nonzero(inside))
        kept.append(slice(start, start + count))
        taken.append(cells[start : start + count])
    out[kept[0], kept[1]] = plane[taken[0][:, None], taken[1]]


def _pieces(first_px: float, length: int, source_px: int, step: int, finer: int) -> list[tuple[slice, bool]]:
    """Cut an axis of the result where the kernel begins and ends to lie inside the source."""
    low = math.ceil((_BEFORE_PX - first_px) * finer)
    high = math.ceil((source_px - _AFTER_PX - first_px) * finer)
    low = min(max(low, 0), length)
    high = min(max(high, low), length)
    inside = [slice(low + part.start, low + part.stop) for part in spans(high - low, step)]
    pieces = [(slice(0, low), False), *((part, True) for part in inside), (slice(high, length), False)]
    return [(part, within) for part, within in pieces if part.stop > part.start]


def _reach(part: slice, first_px: float, finer: int) -> slice:
    """Return the pixels of the source that some of the result need, as far as there are any."""
    first, last = (math.floor(first_px + at / finer) for at in (part.start, part.stop - 1))
    return slice(max(first - _BEFORE_PX, 0), max(last + _AFTER_PX + 1, 0))


def _interpolate(
    part: NDArray[np.float32],
    tile: Tile,
    first_px: tuple[float, float],
    finer: int,
    out: NDArray[np.float32],
) -> None:
    """Write a tile of the result, given just the part of the source that it needs."""
    rows, columns = (
        [_phase(axis, first, finer, p) for p in range(finer)]
        for axis, first in zip(tile, first_px, strict=True)
    )
    wanted = out[tile]
    for down, (row, row_weights) in enumerate(rows):
        for right, (column, column_weights) in enumerate(columns):
            target = wanted[down::finer, right::finer]
            found = cv2.sepFilter2D(
                part, cv2.CV_64F, column_weights, row_weights, anchor=(_BEFORE_PX, _BEFORE_PX)
            )
            height, width = target.shape
            target[...] = found[row : row + height, column : column + width]


def _at_the_edge(
    plane: NDArray[np.float32],
    tile: Tile,
    first_px: tuple[float, float],
    finer: int,
    out: NDArray[np.float32],
) -> None:
    """Write a tile of the result linearly, from as many of two by two pixels as there are."""
    total, within = np.zeros((1, 1)), []
    axes = []
    for axis, first, length in zip(tile, first_px, plane.shape, strict=True):
        positions = first + np.arange(axis.start, axis.stop) / finer
        cells = np.floor(positions).astype(np.intp)
        pairs = [(cells, 1 - (positions - cells)), (cells + 1, positions - cells)]
        axes.append([(cell.clip(0, length - 1), w * ((cell >= 0) & (cell < length))) for cell, w in pairs])
        within.append((positions >= -0.5) & (positions <= length - 0.5))
    for row, row_weights in axes[0]:
        for column, column_weights in axes[1]:
            total = total + row_weights[:, None] * column_weights * plane[row[:, None], column]
    down, right = (sum(weights for _, weights in axis) for axis in axes)
    inside = within[0][:, None] & within[1]
    out[tile][inside] = (total / np.maximum(down[:, None] * right, 1e-12))[inside]


def _phase(axis: slice, first_px: float, finer: int, phase: int) -> tuple[int, NDArray[np.float64]]:
    """Return where in the part of the source a phase begins, and the weights of its pixels."""
    begin = math.floor(first_px + axis.start / finer) - _BEFORE_PX
    position = first_px + (axis.start + phase) / finer
    cell = math.floor(position)
    return cell - begin, _weights(position - cell)


def _weights(fraction: float) -> NDArray[np.float64]:
    """Weights of the four pixels round a position, by the kernel of Keys with a = -0.5."""
    t = fraction
    return np.array(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    )
