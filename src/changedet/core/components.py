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
    _, found, statistics, _ = cv2.connectedComponentsWithStats(grow.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, np.int32)
    has_seed = np.zeros(len(statistics), bool)
    has_seed[labels[seed & grow]] = True
    keep = has_seed & (statistics[:, cv2.CC_STAT_AREA] >= min_pixels)
    keep[0] = False
    first_seen = _first_pixels(labels, len(statistics))
    order = np.flatnonzero(keep)[np.argsort(first_seen[keep])]
    renumber = np.zeros(len(statistics), np.int32)
    renumber[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return np.asarray(renumber[labels], np.int32)


def split_components(
    labels: NDArray[np.int32], classes: NDArray[np.uint8], *, min_pixels: float = 1.0
) -> NDArray[np.int32]:
    """Cut components where their class changes; what would be too small stays with the rest.

    A cleared pad, the road to it and the hall at its end are flagged as one group of pixels, but are three
    objects.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        From `label_components`.
    classes : ndarray of uint8, shape (y, x)
        Class of every pixel; only pixels inside components matter.
    min_pixels : float
        Smallest part that becomes an object of its own.

    Returns
    -------
    ndarray of int32, shape (y, x)
        0 = no component, then 1, 2, ...; the same pixels as in `labels`, and never fewer components.

    Examples
    --------
    >>> labels = np.ones((1, 6), np.int32)
    >>> split_components(labels, np.array([[1, 1, 1, 2, 2, 2]], np.uint8), min_pixels=2)
    array([[1, 1, 1, 2, 2, 2]], dtype=int32)
    """
    count = int(labels.max(initial=0))
    if count == 0:
        return labels.copy()
    parts = _parts(labels, classes)
    sizes = np.bincount(parts.ravel())
    parent = np.zeros(len(sizes), np.int64)
    parent[parts.ravel()] = labels.ravel()
    # the largest part of each component takes in the parts that are too small
    by_size = np.argsort(sizes[1:], kind="stable") + 1
    largest = np.zeros(count + 1, np.int64)
    largest[parent[by_size]] = by_size
    own = np.where(sizes >= min_pixels, np.arange(len(sizes)), largest[parent])
    own[0] = 0
    _, compact = np.unique(own, return_inverse=True)
    return compact[parts].astype(np.int32)


def _parts(labels: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Label the 8-connected groups of equal class inside the components, 0 elsewhere."""
    parts = np.zeros(labels.shape, np.int64)
    used = 0
    for value in np.unique(classes[labels > 0]):
        number, found = cv2.connectedComponents(
            ((classes == value) & (labels > 0)).astype(np.uint8), connectivity=8
        )
        parts = np.where(found > 0, found + used, parts)
        used += number - 1
    return parts


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
    group = labels[inside].astype(np.int64)
    keys = np.sort((group << 32) + _ordered_bits(values[inside]))
    sizes = np.bincount(group, minlength=count + 1)[1:]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    out = np.full(count, np.nan)
    filled = sizes > 0
    position = starts + np.floor(quantile * np.maximum(sizes - 1, 0)).astype(int)
    wanted = keys[position[filled]] - (np.flatnonzero(filled) + 1 << 32)
    out[filled] = _value_of_bits(wanted)
    return out


def component_sizes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the pixels of each component.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        From `label_components`.

    Returns
    -------
    ndarray of int64, shape (number of components,)

    Examples
    --------
    >>> component_sizes(np.array([[1, 1, 0, 2]], np.int32)).tolist()
    [2, 1]
    """
    return np.bincount(labels.ravel(), minlength=int(labels.max(initial=0)) + 1)[1:].astype(np.int64)


def _ordered_bits(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Turn floats into integers of 32 bits that sort alike, so that one fast sort serves label and value."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    return np.asarray(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)), np.int64)


def _value_of_bits(ordered: NDArray[np.int64]) -> NDArray[np.float32]:
    """Turn the integers of `_ordered_bits` back into the floats they came from."""
    bits = ordered.astype(np.int32)
    return (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)


def _first_pixels(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Index of the first pixel of each label in raster order; the background's is of no use."""
    first = np.full(count, labels.size, np.int64)
    flat = labels.ravel()
    backwards = np.flatnonzero(flat)[::-1]
    first[flat[backwards]] = backwards  # of repeated indices the last assignment stays
    return first
