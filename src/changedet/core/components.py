"""Connected groups of flagged pixels and their statistics, without a Python loop over pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.groups import connected_groups
from changedet.core.planes import by_rows, over_rows, placed_where, plane_blocks, values_where

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
    labels, count = connected_groups(grow)
    has_seed, sizes = np.zeros(count + 1, bool), np.zeros(count + 1, np.int64)
    for group, pixels, seeded in over_rows(_counted, labels, seed):
        sizes[group] += pixels
        has_seed[seeded] = True
    keep = has_seed & (sizes >= min_pixels)
    first_seen = _first_pixels(labels, count + 1)
    order = np.flatnonzero(keep)[np.argsort(first_seen[keep])]
    renumber = np.zeros(count + 1, np.int32)
    renumber[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return by_rows(lambda part: renumber[part], labels, dtype=np.int32, out=labels)


def _counted(
    labels: NDArray[np.int32], seed: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Return which groups there are in some rows, how many pixels each has, and which hold a seed."""
    inside = labels > 0
    groups, pixels = np.unique(labels[inside], return_counts=True)
    return groups, pixels, np.unique(labels[inside & seed])


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
    inside = by_rows(lambda part: part > 0, labels, dtype=bool)
    parent_of_pixel, class_of_pixel = (values_where(inside, plane) for plane in (labels, classes))
    if not parent_of_pixel.size:
        return by_rows(np.copy, labels, dtype=np.int32)
    parts = _parts(inside, classes, class_of_pixel)
    sizes = np.bincount(parts)
    parent = np.zeros(len(sizes), np.int64)
    parent[parts] = parent_of_pixel
    # the largest part of each component takes in the parts that are too small
    by_size = np.argsort(sizes[1:], kind="stable") + 1
    largest = np.zeros(int(parent_of_pixel.max()) + 1, np.int64)
    largest[parent[by_size]] = by_size
    own = np.where(sizes >= min_pixels, np.arange(len(sizes)), largest[parent])
    own[0] = 0
    _, compact = np.unique(own, return_inverse=True)
    return placed_where(inside, compact[parts].astype(np.int32))


def _parts(
    inside: NDArray[np.bool_], classes: NDArray[np.uint8], class_of_pixel: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return the number of the 8-connected group of equal class of each pixel inside the components."""
    parts, used = np.zeros(class_of_pixel.shape, np.int64), 0
    for value in np.unique(class_of_pixel):
        own = by_rows(lambda part, kinds, v=value: part & (kinds == v), inside, classes, dtype=bool)
        found, number = connected_groups(own)
        parts[class_of_pixel == value] = used + values_where(own, found)
        used += number
    return parts


def component_quantile(
    labels: NDArray[np.int32], values: NDArray[np.float32], quantile: float
) -> NDArray[np.float64]:
    """Quantile of `values` inside each component.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x) or (n,)
        From `label_components`, or some of their pixels.
    values : ndarray of float32, same shape
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

    def _keys(part: NDArray[np.int32], numbers: NDArray[np.float32]) -> NDArray[np.int64]:
        inside = (part > 0) & np.isfinite(numbers)
        return (part[inside].astype(np.int64) << 32) + _ordered_bits(numbers[inside])

    keys = np.sort(np.concatenate(over_rows(_keys, np.atleast_2d(labels), np.atleast_2d(values))))
    # an ordered number may be negative, half of the numbers of 32 bits at most
    group = (keys + (1 << 31)) >> 32
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
    flagged = np.concatenate(over_rows(lambda part: part[part > 0], np.atleast_2d(labels)))
    return np.bincount(flagged, minlength=int(labels.max(initial=0)) + 1)[1:].astype(np.int64)


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
    first, width = np.full(count, labels.size, np.int64), labels.shape[1]
    for rows in plane_blocks(labels)[::-1]:
        flat = labels[rows].reshape(-1)
        backwards = np.flatnonzero(flat)[::-1]
        first[flat[backwards]] = rows.start * width + backwards  # the last assignment stays
    return first
