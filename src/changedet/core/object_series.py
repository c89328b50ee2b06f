"""One series for each object or zone: the median of its pixels on each date, and how much of it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ObjectSeries:
    """The outcome of `object_series`; column ``i`` is the object labelled ``i + 1``.

    Attributes
    ----------
    median : ndarray of float32, shape (time, object)
        In the unit of the values; NaN where too little of the object is seen.
    share_seen : ndarray of float32, shape (time, object)
        Share of the object's pixels that a date sees; 0 for a label that no pixel has.
    pixels : ndarray of int64, shape (object,)
        Pixels of each object.
    """

    median: NDArray[np.float32]
    share_seen: NDArray[np.float32]
    pixels: NDArray[np.int64]


def object_series(
    values: NDArray[np.float32],
    labels: NDArray[np.integer],
    seen: NDArray[np.bool_] | None = None,
    least_share: float = 0.5,
) -> ObjectSeries:
    """Reduce the pixels of objects to a series each.

    A median, so that an edge pixel, a vehicle or a remnant of cloud does not move it.

    Parameters
    ----------
    values : ndarray of float32, shape (time, ...)
        NaN where a date does not see a pixel. For several indices, call once for each.
    labels : ndarray of int, shape (...)
        0 outside of objects, 1, 2, ... inside.
    seen : ndarray of bool, shape (time, ...), optional
        Where a date sees a pixel; where it is finite when not given.
    least_share : float
        Share of an object that a date has to see.

    Returns
    -------
    ObjectSeries

    Raises
    ------
    ValueError
        When shapes do not fit, or the share is not between 0 and 1.

    Examples
    --------
    >>> values = np.array([[0.1, 0.2, 0.9, 0.4]], np.float32)
    >>> found = object_series(values, np.array([1, 1, 1, 2]))
    >>> found.median.round(2).tolist()
    [[0.20000000298023224, 0.4000000059604645]]
    """
    if labels.shape != values.shape[1:] or (seen is not None and seen.shape != values.shape):
        message = f"labels of shape {labels.shape} for values of shape {values.shape}; use one grid"
        raise ValueError(message)
    if not 0 <= least_share <= 1:
        message = f"a share of {least_share} is none; give a number from 0 to 1"
        raise ValueError(message)
    flat_labels = labels.reshape(-1)
    inside = np.flatnonzero(flat_labels > 0)
    inside = inside[np.argsort(flat_labels[inside], kind="stable")]
    count = int(flat_labels.max(initial=0))
    edges = np.searchsorted(flat_labels[inside], np.arange(1, count + 2))
    flat = values.reshape(len(values), -1)
    median = np.full((len(values), count), np.nan, np.float32)
    share = np.zeros((len(values), count), np.float32)
    for number in range(count):
        pixels = inside[edges[number] : edges[number + 1]]
        if not pixels.size:
            continue
        part = flat[:, pixels].astype(np.float32)
        if seen is not None:
            part[~seen.reshape(flat.shape)[:, pixels]] = np.nan
        median[:, number], share[:, number] = _median_and_share(part)
    median[share < least_share] = np.nan
    return ObjectSeries(median, share, np.diff(edges))


def _median_and_share(part: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the median of each row's finite values, and their share."""
    clear = np.isfinite(part)
    count = clear.sum(axis=1)
    ordered = np.sort(np.where(clear, part, np.float32(np.inf)), axis=1)
    rows = np.arange(len(part))
    lower = ordered[rows, np.maximum(count - 1, 0) // 2]
    upper = ordered[rows, np.minimum(count // 2, part.shape[1] - 1)]
    middle = np.where(count > 0, np.float32(0.5) * lower + np.float32(0.5) * upper, np.float32(np.nan))
    return middle, (count / part.shape[1]).astype(np.float32)
