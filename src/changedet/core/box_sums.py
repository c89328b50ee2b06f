"""Sums over squares and rings round every pixel, by summed-area tables of tiles."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: Rows that are worked on at one time, so that their buffers stay in the cache.
_GROUP_ROWS = 16


def check_radii(radii_px: tuple[int, ...]) -> None:
    """Refuse half-widths between which no rings lie.

    Parameters
    ----------
    radii_px : tuple of int
        In pixels.

    Raises
    ------
    ValueError
        When there are fewer than two, one is negative, or they do not increase.
    """
    if len(radii_px) < 2 or radii_px[0] < 0 or any(outer <= inner for inner, outer in pairwise(radii_px)):
        message = f"radii_px must be at least two, not negative and increasing, not {radii_px}"
        raise ValueError(message)


def with_margin(
    plane: NDArray[np.float32], valid: NDArray[np.bool_], tile: tuple[slice, slice], margin_px: int
) -> NDArray[np.float32]:
    """Cut a tile and the ground round it out of a plane, with 0 for what is not usable or not there.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        Anything where `valid` is False.
    valid : ndarray of bool, shape (y, x)
        True where usable.
    tile : tuple of two slices
        Rows and columns, with start and stop.
    margin_px : int
        How much ground on every side.

    Returns
    -------
    ndarray of float32
        Larger than the tile by twice the margin, also at the border of the plane.

    Examples
    --------
    >>> with_margin(np.ones((9, 9), np.float32), np.ones((9, 9), bool), (slice(0, 2), slice(0, 1)), 1)
    array([[0., 0., 0.],
           [0., 1., 1.],
           [0., 1., 1.],
           [0., 1., 1.]], dtype=float32)
    """
    inner, borders = [], []
    for part, size in zip(tile, plane.shape, strict=True):
        start, stop = part.start - margin_px, part.stop + margin_px
        inner.append(slice(max(start, 0), min(stop, size)))
        borders += [max(-start, 0), max(stop - size, 0)]
    cut = (inner[0], inner[1])
    usable = np.where(valid[cut], plane[cut], np.float32(0))
    above, below, left, right = borders
    return np.asarray(cv2.copyMakeBorder(usable, above, below, left, right, cv2.BORDER_CONSTANT), np.float32)


class RingSums:
    """Sums over the rings round every pixel of a tile, from summed-area tables.

    A square of half-width n has ``2 n + 1`` pixels a side; its sum follows from four look-ups (Crow 1984,
    doi:10.1145/800031.808600). A ring is a square without the square before it. Tables and their
    differences are float64, so that dark ground beside bright ground keeps its digits; squares are float32.

    One object works for one thread: its memory is used again for every group of rows.

    Parameters
    ----------
    planes : sequence of ndarray of float32, shape (y + 2 margin, x + 2 margin)
        What is summed, each cut with the largest half-width as its margin by `with_margin`.
    radii_px : tuple of int
        Half-widths, increasing.
    corners : bool
        Leave out also what lies in a ring beside, above and below the inner square: four squares at the
        corners are left.
    """

    def __init__(
        self, planes: Sequence[NDArray[np.float32]], radii_px: tuple[int, ...], *, corners: bool = False
    ) -> None:
        rows, columns = planes[0].shape
        self._tables = np.empty((len(planes), rows + 1, columns + 1))
        for table, plane in zip(self._tables, planes, strict=True):
            cv2.integral(plane, sum=table, sdepth=cv2.CV_64F)
        self._planes = planes
        self._radii_px = radii_px
        self._corners = corners
        self._rows, self._columns = rows - 2 * radii_px[-1], columns - 2 * radii_px[-1]
        most = min(_GROUP_ROWS, self._rows)
        self._upright = np.empty((len(planes), most, columns + 1))
        self._squares = np.empty((3, len(planes), most, self._columns), np.float32)

    def groups(self) -> Iterator[tuple[slice, Iterator[NDArray[np.float32]]]]:
        """Go through the tile from above.

        Yields
        ------
        rows : slice
            Of the tile.
        rings : iterator of ndarray of float32, shape (quantity, rows, x)
            Sums over one ring after the other, the innermost first. Each is overwritten by the next.
        """
        for start in range(0, self._rows, _GROUP_ROWS):
            rows = slice(start, min(start + _GROUP_ROWS, self._rows))
            yield rows, self._rings(rows)

    def _rings(self, rows: slice) -> Iterator[NDArray[np.float32]]:
        inner, outer, ring = self._squares[:, :, : rows.stop - rows.start]
        before = 0
        for number, radius in enumerate(self._radii_px):
            self._rectangle((radius, radius), rows, outer)
            if number and self._corners:
                np.add(outer, inner, out=inner)
                for sides in ((before, radius), (radius, before)):
                    self._rectangle(sides, rows, ring)
                    inner -= ring
                yield inner
            elif number:
                yield np.subtract(outer, inner, out=ring)
            inner, outer, before = outer, inner, radius

    def _rectangle(self, sides_px: tuple[int, int], rows: slice, out: NDArray[np.float32]) -> None:
        """Write the sums over rectangles of one half-height and half-width."""
        margin, width = self._radii_px[-1], self._columns
        if sides_px == (0, 0):
            for plane, square in zip(self._planes, out, strict=True):
                square[:] = plane[margin + rows.start : margin + rows.stop, margin:-margin]
            return
        (up, left), (high, wide) = (margin - side for side in sides_px), (2 * side + 1 for side in sides_px)
        top, bottom = rows.start + up, rows.stop + up
        columns = slice(left, left + wide + width)
        span = self._upright[:, : bottom - top, : wide + width]
        below = self._tables[:, top + high : bottom + high, columns]
        np.subtract(below, self._tables[:, top:bottom, columns], out=span)
        np.subtract(span[:, :, wide:], span[:, :, :width], out=out, casting="same_kind")
