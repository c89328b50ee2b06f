"""Shifts of many images from shifts between pairs of them, and how well the pairs agree round triangles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.core.alignment import Alignment

    Array = NDArray[np.float64]

#: No measurement is better than this, whatever its scatter says: kernels and detectors have biases.
LEAST_ERROR_PX = 0.005
#: Links further than this from the solution, in deviations, count nothing (Tukey's biweight).
_REACH = 4.7
_ROUNDS = 12
#: Windows of the fine pass of an alignment are at most this wide: those nearer to each other share errors.
_WINDOW_PX = 48


@dataclass(frozen=True)
class Link:
    """A measured shift between two images.

    Attributes
    ----------
    reference, moving : int
        Which images.
    row_px, column_px : float
        What has to be added to the position of the moving image's content to bring it onto the reference.
    error_px : float
        Standard error of each of the two.
    """

    reference: int
    moving: int
    row_px: float
    column_px: float
    error_px: float = LEAST_ERROR_PX


@dataclass(frozen=True, eq=False)
class Solution:
    """Where all images lie.

    Attributes
    ----------
    shifts_px : ndarray of float64, shape (n, 2)
        (row, column) to be added to the position of each image's content; (0, 0) for the fixed one, NaN for
        images that no chain of links ties to it.
    errors_px : ndarray of float64, shape (n,)
        Standard error of each of the two.
    weights : ndarray of float64, shape (links,)
        What each link counted, 0 to 1; 0 for those that contradict the others.
    """

    shifts_px: Array
    errors_px: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Closure:
    """What is left when shifts are added round triangles of images; zero if all were exact.

    Attributes
    ----------
    rmse_px : float
        Root mean square over the triangles; NaN without any.
    each_px : ndarray of float64, shape (n,)
        The same over the triangles of each image.
    triangles : int
        Number of triangles.
    """

    rmse_px: float
    each_px: Array
    triangles: int


def solve_shifts(count: int, links: Sequence[Link], fixed: int) -> Solution:
    """Find the shift of each image that explains all measured pairs best.

    Weighted least squares on the graph of pairs, with Tukey's biweight against pairs that were measured
    wrongly; a wrong pair is told by the ways round it.

    Parameters
    ----------
    count : int
        Number of images.
    links : sequence of Link
        Measured pairs.
    fixed : int
        The image that stays where it is.

    Returns
    -------
    Solution
        Of the images that links tie to the fixed one.

    Examples
    --------
    >>> links = [Link(0, 1, 1.0, 0.0), Link(1, 2, 1.0, 0.0), Link(0, 2, 2.0, 0.5)]
    >>> solve_shifts(3, links, 0).shifts_px[2].round(2).tolist()
    [2.0, 0.33]
    """
    tied = _tied(count, links, fixed)
    unknown = np.flatnonzero(tied & (np.arange(count) != fixed))
    used = np.array([tied[link.reference] for link in links], np.bool_)
    shifts, errors = np.full((count, 2), np.nan), np.full(count, np.nan)
    shifts[fixed], errors[fixed] = 0.0, 0.0
    weights = used.astype(np.float64)
    if not unknown.size:
        return Solution(shifts, errors, weights)
    design = np.zeros((len(links), count))
    for index, link in enumerate(links):
        design[index, link.moving] += 1
        design[index, link.reference] -= 1
    design = design[:, unknown]
    measured = np.array([(link.row_px, link.column_px) for link in links])
    precision = np.array([max(link.error_px, LEAST_ERROR_PX) for link in links]) ** -2.0
    for _ in range(_ROUNDS):
        inverse = np.linalg.pinv(design.T @ (design * (precision * weights)[:, None]))
        found = inverse @ (design.T @ (measured * (precision * weights)[:, None]))
        distance = np.hypot(*(measured - design @ found).T) * np.sqrt(precision)
        # of two independent normal components the median distance is 1.1774 deviations
        scale = max(1.0, float(np.median(distance[used])) / 1.1774)
        weights = np.where(used, np.clip(1 - (distance / (_REACH * scale)) ** 2, 0, 1) ** 2, 0.0)
        # what only one link ties cannot be told to be wrong
        weights = np.where(used & _only_ties(design, weights), np.maximum(weights, 1e-3), weights)
    shifts[unknown], errors[unknown] = found, scale * np.sqrt(np.diag(inverse))
    return Solution(shifts, errors, weights)


def closure_errors(count: int, links: Sequence[Link]) -> Closure:
    """Add the shifts round every triangle of images of which all three pairs were measured.

    Parameters
    ----------
    count : int
        Number of images.
    links : sequence of Link
        Measured pairs.

    Returns
    -------
    Closure
        What was left.

    Examples
    --------
    >>> found = closure_errors(3, [Link(0, 1, 1.0, 0.0), Link(1, 2, 1.0, 0.0), Link(0, 2, 2.0, 0.5)])
    >>> found.triangles, found.rmse_px
    (1, 0.5)
    """
    shifts: dict[tuple[int, int], Array] = {}
    for link in links:
        shift = np.array([link.row_px, link.column_px])
        shifts[link.reference, link.moving] = shift
        shifts[link.moving, link.reference] = -shift
    squares: list[list[float]] = [[] for _ in range(count)]
    every = []
    for one, two, three in combinations(range(count), 3):
        sides = (one, two), (two, three), (three, one)
        if all(side in shifts for side in sides):
            square = float((np.sum([shifts[side] for side in sides], axis=0) ** 2).sum())
            every.append(square)
            for image in (one, two, three):
                squares[image].append(square)
    each = np.array([np.sqrt(np.mean(own)) if own else np.nan for own in squares])
    return Closure(float(np.sqrt(np.mean(every))) if every else np.nan, each, len(every))


def standard_error_px(alignment: Alignment) -> tuple[float, float]:
    """Return the standard error of the median shift of an alignment.

    Parameters
    ----------
    alignment : Alignment
        As measured.

    Returns
    -------
    tuple of float
        (row, column) in pixels: the scatter of the tie points that agree round the field, over the root of
        their number; those whose windows overlap count as one. NaN without a field.
    """
    if alignment.field is None or alignment.ties is None or not alignment.agreeing.any():
        return np.nan, np.nan
    ties, kept = alignment.ties, alignment.agreeing
    rows, columns = np.unique(ties.row), np.unique(ties.column)
    expected = alignment.field.on(rows, columns).reshape(2, -1)[:, kept]
    spacing = [float(np.diff(axis).mean()) if len(axis) > 1 else np.inf for axis in (rows, columns)]
    share = float(np.prod([min(1.0, one / _WINDOW_PX) for one in spacing]))
    count = max(1.0, float(kept.sum()) * share)
    scatter = np.stack([ties.row_px[kept], ties.column_px[kept]]) - expected
    row_px, column_px = np.sqrt((scatter**2).mean(axis=1) / count)
    return float(row_px), float(column_px)


def _tied(count: int, links: Sequence[Link], fixed: int) -> NDArray[np.bool_]:
    """Tell which images a chain of links ties to the fixed one, shape (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(link.reference, link.moving) for link in links], np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component == component[fixed])


def _only_ties(design: Array, weights: Array) -> NDArray[np.bool_]:
    """Tell for which links an end has hardly any other weight, shape (links,)."""
    touches = design != 0
    total = touches.T @ weights
    return np.asarray((touches & (total < 1e-3)).any(axis=1))
