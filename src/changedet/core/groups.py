"""Connected groups of pixels of planes of any size, numbered strip by strip and joined across the borders."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.blocks import run_blocks, spans
from changedet.core.planes import new_plane, relieve

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels of a strip. Its height is even: pixels are numbered in squares of two by two.
_STRIP_PX = 2**21


def connected_groups(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Give each group of pixels that touch, also by a corner, a number.

    Strips of rows are numbered by themselves, several at a time, and groups that touch across a border become
    one: besides the result little memory is taken.

    Parameters
    ----------
    mask : ndarray of bool, shape (y, x)
        True for what is grouped.

    Returns
    -------
    labels : ndarray of int32, shape (y, x)
        0 = no group, then 1, 2, ..., the same numbers as OpenCV gives the mask as a whole.
    count : int
        Of groups.

    Examples
    --------
    >>> labels, count = connected_groups(np.array([[1, 0, 0, 1], [0, 1, 0, 0]], bool))
    >>> labels.tolist(), count
    ([[1, 0, 0, 2], [0, 1, 0, 0]], 2)
    """
    labels = new_plane(mask.shape, np.int32)
    strips = spans(mask.shape[0], max(2, _STRIP_PX // max(mask.shape[1], 1) // 2 * 2))
    counts = np.zeros(len(strips), np.int64)

    def _number(at: int) -> None:
        part = mask[strips[at]]
        if part.any():
            number, found = cv2.connectedComponents(
                np.ascontiguousarray(part, np.bool_).view(np.uint8), connectivity=8
            )
            labels[strips[at]], counts[at] = found, number - 1
        else:
            labels[strips[at]] = 0
        relieve()

    run_blocks(_number, range(len(strips)))
    if len(strips) < 2:
        return labels, int(counts.sum())
    before = np.concatenate([[0], np.cumsum(counts)])
    numbers = _joined(labels, strips, before)

    def _renumber(at: int) -> None:
        if counts[at]:
            own = np.concatenate([[0], numbers[before[at] : before[at + 1]]]).astype(np.int32)
            labels[strips[at]] = own[labels[strips[at]]]
            relieve()

    run_blocks(_renumber, range(len(strips)))
    return labels, int(numbers.max(initial=0))


def _joined(
    labels: NDArray[np.int32], strips: tuple[slice, ...], before: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the number, from 1, of each group of each strip, one after the other, once they are joined."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    pairs = [np.empty((2, 0), np.int64)]
    for at, (above, below) in enumerate(pairwise(strips)):
        upper, lower = (np.asarray(labels[row], np.int64) for row in (above.stop - 1, below.start))
        for first, second in ((upper, lower), (upper[:-1], lower[1:]), (upper[1:], lower[:-1])):
            touch = (first > 0) & (second > 0)
            numbers = np.stack([before[at] + first[touch] - 1, before[at + 1] + second[touch] - 1])
            pairs.append(np.unique(numbers, axis=1))
    total = int(before[-1])
    upper, lower = np.concatenate(pairs, axis=1)
    graph = sparse.coo_array((np.ones(upper.size, bool), (upper, lower)), shape=(total, total))
    _, group = connected_components(graph, directed=False)
    # groups are numbered in the order of the first of their parts
    _, first_part, group = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first_part), np.int64)
    rank[np.argsort(first_part)] = np.arange(1, len(first_part) + 1)
    return np.asarray(rank[group], np.int64)
