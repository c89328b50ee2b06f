"""How rare a score is among windows of the same size in the context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.components import component_quantile, component_sizes
from changedet.core.planes import by_tiles, over_rows
from changedet.core.sampling import MAD_TO_SPREAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Windows are at most this wide, in pixels: larger ones would be a large part of most contexts.
_LARGEST_SIDE_PX = 64
#: A window counts when at least this share of it can be used.
_LEAST_USABLE = 0.5


def window_share(score: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return for each object the share of windows of its size that score at least as high as it does.

    An object of n pixels is compared with square windows of n pixels, everywhere in the context, each with
    the mean score inside it; the object counts with the best window whose centre it holds. This is the
    empirical p-value of a scan for the highest window (Kulldorff 1997, doi:10.1080/03610929708831995), taken
    from the scene itself, changed or not: it says how unusual the place is there, not how sure a change is.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        NaN = not judged.
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...

    Returns
    -------
    ndarray of float64, shape (number of objects,)
        Above 0, at most 1; never less than one in the number of windows that do not overlap. NaN where an
        object has no window of which half can be used.

    Examples
    --------
    >>> score = np.ones((64, 64), np.float32)
    >>> score[10:14, 10:14] = 9.0
    >>> labels = (score > 5).astype(np.int32)
    >>> window_share(score, labels).round(5).tolist()
    [0.00391]
    """
    sides = _sides(component_sizes(labels))
    out = np.full(len(sides), np.nan)
    for side in np.unique(sides):
        means = _judged_window_means(score, int(side))
        best = component_quantile(labels, means, 1.0)
        own = np.flatnonzero((sides == side) & np.isfinite(best))
        windows, as_high = _at_least(means, best[own].astype(np.float32))
        independent = max(windows / side**2, 1.0)
        out[own] = np.clip(np.maximum(as_high / max(windows, 1), 1 / independent), 0, 1)
    return out


def _judged_window_means(score: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Mean score of the window round each pixel; NaN where less than half of it is judged."""

    def _tile(wide: NDArray[np.float32]) -> NDArray[np.float32]:
        usable = np.isfinite(wide)
        return _window_means(np.where(usable, wide, np.float32(0)), usable, side)

    return by_tiles(_tile, score, halo_px=side // 2 + 1, dtype=np.float32)


def _at_least(means: NDArray[np.float32], limits: NDArray[np.float32]) -> tuple[int, NDArray[np.int64]]:
    """Count the numbers of a plane, and those of them that are not below each limit."""
    ordered = np.sort(limits)
    least = ordered[0] if ordered.size else np.float32(np.inf)

    def _count(part: NDArray[np.float32]) -> tuple[int, NDArray[np.int64]]:
        # most windows lie below every object and are not looked up
        high = part[part >= least]
        reached = np.searchsorted(ordered, high, side="right")
        return int(np.count_nonzero(~np.isnan(part))), np.bincount(reached, minlength=len(ordered) + 1)

    found = over_rows(_count, means)
    reached = sum((counts for _, counts in found), np.zeros(len(ordered) + 1, np.int64))
    # a window that reaches k of the limits is not below the first k of them
    not_below = reached[::-1].cumsum()[::-1][1:]
    as_high = np.empty(len(limits), np.int64)
    as_high[np.argsort(limits, kind="stable")] = not_below
    return sum(count for count, _ in found), as_high


def window_deviations(values: NDArray[np.float32], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return how far the mean of each object lies from the means of windows of its size in the context.

    Means over windows tell how alike neighbours are, which single pixels do not: of independent values large
    windows hardly vary, of patches they vary as much as the patches do. The scene itself is the measure,
    changed or not; half of it would have to change to move it.

    Parameters
    ----------
    values : ndarray of float32, shape (y, x)
        Of either sign; NaN = not judged.
    labels : ndarray of int32, shape (y, x)
        0 = no object, then 1, 2, ...

    Returns
    -------
    ndarray of float64, shape (number of objects,)
        In robust standard deviations of the windows, signed; 0 where these do not vary. NaN where an object
        has no value, or less than half of its pixels have one.

    Examples
    --------
    >>> values = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    >>> values[10:14, 10:14] -= 3
    >>> labels = np.zeros((64, 64), np.int32)
    >>> labels[10:14, 10:14] = 1
    >>> bool(window_deviations(values, labels)[0] < -8)
    True
    """
    sizes, usable = component_sizes(labels), np.isfinite(values)
    filled = np.where(usable, values, np.float32(0))
    counts = np.bincount(labels[usable], minlength=len(sizes) + 1)[1:]
    sums = np.bincount(labels[usable], values[usable], len(sizes) + 1)[1:]
    out = np.divide(sums, counts, out=np.full(len(sizes), np.nan), where=counts >= _LEAST_USABLE * sizes)
    sides = _sides(sizes)
    for side in np.unique(sides):
        step = max(1, int(side) // 2)
        means = _window_means(filled, usable, int(side))[::step, ::step]
        means = means[np.isfinite(means)]
        centre = float(np.median(means)) if means.size else 0.0
        spread = float(MAD_TO_SPREAD * np.median(np.abs(means - centre))) if means.size else 0.0
        own = sides == side
        out[own] = (out[own] - centre) / spread if spread > 0 else 0 * out[own]
    return np.asarray(out, np.float64)


def _sides(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Side of the square of each size, in steps of a square root of two so that few sizes are asked for."""
    exact = np.sqrt(np.maximum(sizes, 1))
    steps = 2 ** (np.round(2 * np.log2(exact)) / 2)
    return np.clip(np.round(steps), 1, _LARGEST_SIDE_PX).astype(np.int64)


def _window_means(filled: NDArray[np.float32], usable: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """Mean of the usable pixels of the window round each pixel; NaN where less than half can be used."""
    box = (side, side)
    share = cv2.blur(usable.astype(np.float32), box, borderType=cv2.BORDER_CONSTANT)
    total = cv2.blur(filled, box, borderType=cv2.BORDER_CONSTANT)
    means = total / np.maximum(share, np.float32(1e-6))
    return np.where(share >= _LEAST_USABLE, means, np.float32(np.nan))
