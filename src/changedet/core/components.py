"""Connected groups of flagged pixels and their statistics, without a Python loop over pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def label_components(
    grow: NDArray[np.bool_], seed: NDArray[np.bool_], *, min_pixels: float = 1.0
) -> NDArray[np.int32]:
    """Label the 8-connected groups of `grow` that hold a pixel of `seed` and are large enough.

    Parameters
    ----------
    grow, seed : ndarray of bool, shape (y, x)
        Candidate pixels, and those of them that are certain enough to start an object.
    min_pixels : float
        Smallest size of a group, in pixels.

    Returns
    -------
    ndarray of int32, shape (y, x)
        0 = no group, then 1, 2, ... in raster order of first appearance.

    Examples
    --------
    >>> grow = np.array([[1, 1, 0, 0, 1]], bool)
    >>> label_components(grow, np.array([[0, 1, 0, 0, 0]], bool))
    array([[1, 1, 0, 0, 0]], dtype=int32)
    """
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(grow.astype(np.uint8), connectivity=8)
    has_seed = np.zeros(len(statistics), bool)
    has_seed[labels[seed & grow]] = True
    keep = has_seed & (statistics[:, cv2.CC_STAT_AREA] >= min_pixels)
    keep[0] = False
    first_seen = _first_pixels(labels, len(statistics))
    order = np.flatnonzero(keep)[np.argsort(first_seen[keep])]
    renumber = np.zeros(len(statistics), np.int32)
    renumber[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return renumber[labels]


def component_quantile(
    labels: NDArray[np.int32], values: NDArray[np.float32], quantile: float
) -> NDArray[np.float64]:
    """Quantile of `values` inside each component.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        From `label_components`.
    values : ndarray of float32, shape (y, x)
        NaN is left out.
    quantile : float
        0 to 1; 0.5 is the median. The lower of two neighbours is taken, so every result is a value that
        occurs.

    Returns
    -------
    ndarray of float64, shape (number of components,)
        NaN for a component without any finite value.
    """
    count = int(labels.max(initial=0))
    inside = (labels > 0) & np.isfinite(values)
    group, value = labels[inside], values[inside].astype(np.float64)
    order = np.lexsort((value, group))
    sizes = np.bincount(group, minlength=count + 1)[1:]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    out = np.full(count, np.nan)
    filled = sizes > 0
    position = starts + np.floor(quantile * np.maximum(sizes - 1, 0)).astype(int)
    out[filled] = value[order][position[filled]]
    return out


def component_sizes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of pixels of each component, shape (number of components,)."""
    return np.bincount(labels.ravel(), minlength=int(labels.max(initial=0)) + 1)[1:].astype(np.int64)


def _first_pixels(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Index of the first pixel of each label in raster order."""
    first = np.full(count, labels.size, np.int64)
    np.minimum.at(first, labels.ravel(), np.arange(labels.size))
    return first
