"""Which alarmed pixels are one thing, and which of them hold nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.components import label_components
from changedet.timeline.evidence import ALIKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.watch.baselines import SiteBaseline

    Floats = NDArray[np.float32]

#: Share of its largest step from which a pixel belongs to a thing: where its edge runs through a pixel, the
#: step is half of what it is inside. Those beside it with a quarter are edges; those with more are pure.
_HALF, _QUARTER, _PURE = np.float32(0.5), np.float32(0.25), np.float32(0.7)
#: Clear dates whose median is the step, and among how many last dates they are looked for.
_STEP_DATES, _LAST_DATES = 3, 20
#: How often what is left beside stronger things is looked through again.
_ROUNDS = 6
#: The least step that counts, in what a date may differ and still look alike.
_LEAST_STEP = np.float32(0.05)


@dataclass(frozen=True, eq=False)
class Things:
    """Alarmed pixels that were sorted into things.

    Attributes
    ----------
    labels : ndarray of int32, shape (y, x)
        0 = none, then 1, 2, ...
    pure : ndarray of bool, shape (y, x)
        Pixels that hold little else, so that they say what a thing looks like; every thing has some.
    """

    labels: NDArray[np.int32]
    pure: NDArray[np.bool_]


def step_sizes(base: SiteBaseline, pixels: NDArray[np.bool_]) -> Floats:
    """Return by how much pixels differ from what is usual there, season apart, on their last clear dates.

    Parameters
    ----------
    base : SiteBaseline
    pixels : ndarray of bool, shape (y, x)
        Those that are asked for.

    Returns
    -------
    ndarray of float32, shape (y, x)
        All watched indices together, in units of the differences with which two dates still look alike; 0
        where it was not asked.
    """
    total = np.zeros(int(pixels.sum()), np.float32)
    for index, (name, state) in enumerate(zip(base.names, base.states, strict=True)):
        off = latest_median(base.units_of(index, pixels, _LAST_DATES), _STEP_DATES)
        step = np.nan_to_num(off * state.baseline.scale[pixels]) / np.float32(ALIKE[name])
        total += step * step
    found = np.zeros(pixels.shape, np.float32)
    found[pixels] = np.maximum(np.sqrt(total), _LEAST_STEP)
    return found


def latest_median(units: Floats, dates: int) -> Floats:
    """Return the median of the last clear dates of each pixel.

    Parameters
    ----------
    units : ndarray of float32, shape (time, pixel)
        NaN where a date does not show it.
    dates : int
        How many.

    Returns
    -------
    ndarray of float32, shape (pixel,)
        NaN where there is none.
    """
    seen = np.isfinite(units)
    late = seen & (np.cumsum(seen[::-1], axis=0)[::-1] <= dates)
    count = late.sum(axis=0)
    ordered = np.sort(np.where(late, units, np.float32(np.inf)), axis=0)
    column = np.arange(units.shape[1])
    lower, upper = (ordered[np.maximum(place, 0), column] for place in ((count - 1) // 2, count // 2))
    middle = np.float32(0.5) * (np.where(count > 0, lower, np.nan) + np.where(count > 0, upper, np.nan))
    return np.asarray(middle, np.float32)


def separate(pixels: NDArray[np.bool_], size: Floats, least: float) -> Things:
    """Sort alarmed pixels into things by how much they differ.

    A hall beside a field that ripens early touches pixels that differ as well, but by much less. So a thing
    is made of the pixels that differ by half of its strongest ones or more, and of its edge; what is left is
    looked through again.

    Parameters
    ----------
    pixels : ndarray of bool, shape (y, x)
    size : ndarray of float32, shape (y, x)
        From `step_sizes`; positive in `pixels`.
    least : float
        Pixels that a thing needs, its edge counted.

    Returns
    -------
    Things

    Examples
    --------
    >>> size = np.float32([[1, 1, 1, 1, 5, 9, 9, 9, 5, 1, 1, 1, 1]])
    >>> separate(size > 0, size, 3).labels.tolist()
    [[2, 2, 2, 0, 1, 1, 1, 1, 1, 0, 3, 3, 3]]
    """
    labels, pure = np.zeros(pixels.shape, np.int32), np.zeros(pixels.shape, bool)
    size, rest, number = size.copy(), pixels.copy(), 0
    rank = max(round(least / 2), 1)
    for _ in range(_ROUNDS):
        groups = label_components(rest, rest, min_pixels=least)
        if not groups.any():
            break
        rest = groups > 0
        strongest = _strongest(groups, size, rank)[groups]
        core = rest & (size >= _HALF * strongest)
        cores = label_components(core, core)
        near = cv2.dilate(cores.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
        edge = rest & ~core & (size >= _QUARTER * strongest)
        parts = np.where(core, cores, np.where(edge, near, 0))
        enough = np.bincount(parts.ravel()) >= least
        enough[0] = False
        found = enough[parts]
        labels[found] = parts[found] + number
        pure |= found & (size >= _PURE * strongest)
        number = int(labels.max())
        # a single pixel that stands out is no thing, and must not tear a hole into the one round it
        specks = core & ~found
        size[specks] = (_QUARTER * strongest)[specks]
        rest &= ~found & ~(enough[near] & ~specks)
    return _numbered(labels, pure)


def _strongest(groups: NDArray[np.int32], size: Floats, rank: int) -> Floats:
    """Return of each group the step that so many of its pixels reach."""
    inside = np.flatnonzero(groups)
    names, values = groups.ravel()[inside], size.ravel()[inside]
    order = np.lexsort((-values, names))
    count = np.bincount(names)
    start = np.cumsum(count) - count
    place = start + np.minimum(rank, np.maximum(count, 1)) - 1
    found = np.zeros(len(count), np.float32)
    found[1:] = values[order][place[1:]]
    return found


def _numbered(labels: NDArray[np.int32], pure: NDArray[np.bool_]) -> Things:
    """Give the things numbers without gaps, and each some pixels that say what it looks like."""
    _, compact = np.unique(labels, return_inverse=True)
    numbered = compact.reshape(labels.shape).astype(np.int32)
    if labels.size and not (labels == 0).any():
        numbered += 1
    known = np.bincount(numbered[pure], minlength=int(numbered.max(initial=0)) + 1) > 0
    return Things(numbered, pure | ((numbered > 0) & ~known[numbered]))
