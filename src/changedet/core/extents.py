"""Where labelled objects lie, and windows that hold them, so that none has to look at the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.planes import over_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels of a window that holds several objects.
_WINDOW_PX = 2**22


@dataclass(frozen=True, eq=False)
class ObjectWindow:
    """A part of the image and the objects that lie in it as a whole.

    Attributes
    ----------
    rows, columns : slice
        Of the image.
    numbers : ndarray of int64, shape (n,)
        Of these objects, ascending; others may reach into the window.
    """

    rows: slice
    columns: slice
    numbers: NDArray[np.int64]


def object_extents(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the first and last rows and columns of each object.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...

    Returns
    -------
    ndarray of int64, shape (number of objects, 4)
        First row, row after the last, first column, column after the last; the number of rows, 0, the number
        of columns and 0 for a number that does not occur.

    Examples
    --------
    >>> object_extents(np.array([[0, 1, 1], [0, 0, 1]], np.int32)).tolist()
    [[0, 2, 1, 3]]
    """
    height, width = labels.shape
    count = int(labels.max(initial=0))
    out = np.tile(np.array([height, 0, width, 0], np.int64), (count + 1, 1))
    start = 0
    for found, taken in over_rows(_extents_in_rows, labels):
        numbers, ends = found
        ends[:, :2] += start
        out[numbers, 0::2] = np.minimum(out[numbers, 0::2], ends[:, 0::2])
        out[numbers, 1::2] = np.maximum(out[numbers, 1::2], ends[:, 1::2])
        start += taken
    return out[1:]


def _extents_in_rows(
    labels: NDArray[np.int32],
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int64]], int]:
    """Return the objects of some rows with their extents in them, and how many rows these are."""
    rows, columns = np.nonzero(labels)
    numbers, at = np.unique(labels[rows, columns], return_inverse=True)
    ends = np.empty((len(numbers), 4), np.int64)
    ends[:, 0::2] = max(labels.shape)
    ends[:, 1::2] = 0
    for axis, places in ((0, rows), (2, columns)):
        np.minimum.at(ends[:, axis], at, places)
        np.maximum.at(ends[:, axis + 1], at, places + 1)
    return (numbers, ends), labels.shape[0]


def object_windows(labels: NDArray[np.int32]) -> list[ObjectWindow]:
    """Put neighbouring objects together in windows that are not large; a large object has one of its own.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...

    Returns
    -------
    list of ObjectWindow
        Together every object once.

    Examples
    --------
    >>> [window.numbers.tolist() for window in object_windows(np.array([[1, 0, 2]], np.int32))]
    [[1, 2]]
    """
    extents = object_extents(labels)
    tallest = max(1, _WINDOW_PX // max(labels.shape[1], 1))
    present = np.flatnonzero(extents[:, 1])
    windows: list[ObjectWindow] = []
    together: list[int] = []
    for at in present[np.argsort(extents[present, 0], kind="stable")].tolist():
        top, bottom = extents[at, :2]
        if bottom - top > tallest:
            windows.append(_window(extents, [at]))
            continue
        if together and bottom - extents[together[0], 0] > tallest:
            windows.append(_window(extents, together))
            together = []
        together.append(at)
    return [*windows, *([_window(extents, together)] if together else [])]


def _window(extents: NDArray[np.int64], objects: list[int]) -> ObjectWindow:
    own = extents[objects]
    rows = slice(int(own[:, 0].min()), int(own[:, 1].max()))
    columns = slice(int(own[:, 2].min()), int(own[:, 3].max()))
    return ObjectWindow(rows, columns, np.sort(np.asarray(objects, np.int64)) + 1)
