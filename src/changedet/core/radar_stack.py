"""What the radar methods share: shapes, gaps, directions, and one level for all dates."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import row_blocks, run_blocks
from changedet.core.medians import median_of_dates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.sampling import Floating

#: What power is raised to before its logarithm is taken: -60 dB, far below the noise of the sensor.
LEAST_POWER = 1e-6
#: Decibels of one neper of power.
DECIBELS = 10 / np.log(10)
_INFINITY_BITS = 0x7F800000
_LEAST_BITS = int(np.float32(LEAST_POWER).view(np.uint32))
#: Pixels from which the level of a date is estimated, at least; beyond twice as many, some are left out.
_LEVEL_PIXELS = 60_000


class Direction(IntEnum):
    """Which way the power went, of all polarisations together."""

    NONE = 0
    BRIGHTER = 1
    DARKER = 2
    MIXED = 3


def check_stack(stack: NDArray[np.float32]) -> None:
    """Refuse what is not dates of one orbit.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought.

    Raises
    ------
    ValueError
        When the stack has other dimensions, no date, no polarisation, or another type.
    """
    if stack.ndim != 4 or 0 in stack.shape[:2] or stack.dtype != np.float32:
        message = (
            f"a stack of shape {stack.shape} and type {stack.dtype} is not (time, pol, y, x) of float32; "
            "give at least one date and one polarisation"
        )
        raise ValueError(message)


def check_periods(before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
    """Refuse two stacks that do not show the same ground in the same polarisations.

    Parameters
    ----------
    before, after : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought.

    Raises
    ------
    ValueError
        As in `check_stack`, or when all but the number of dates disagree.
    """
    check_stack(before)
    check_stack(after)
    if before.shape[1:] != after.shape[1:]:
        message = f"before {before.shape} and after {after.shape} differ in more than the number of dates"
        raise ValueError(message)


def usable_dates(stack: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a date can be used: where it is finite in every polarisation.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        NaN where a date does not see a pixel.

    Returns
    -------
    ndarray of bool, shape (time, y, x)

    Examples
    --------
    >>> usable_dates(np.array([[1, np.nan], [2, 3]], np.float32).reshape(2, 2, 1, 1)).ravel().tolist()
    [False, True]
    """
    usable = np.isfinite(stack[:, 0])
    for pol in range(1, stack.shape[1]):
        usable &= np.isfinite(stack[:, pol])
    return usable


def all_ordinary(plane: NDArray[np.float32]) -> bool:
    """Say whether all of a plane can be taken the logarithm of: no gap, and no less than `LEAST_POWER`.

    Bits of floating-point numbers have the order of the numbers; negative ones and gaps come after infinity.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        Linear gamma nought.

    Returns
    -------
    bool

    Examples
    --------
    >>> all_ordinary(np.ones((2, 2), np.float32)), all_ordinary(np.float32([[1, np.nan]]))
    (True, False)
    """
    if plane.size == 0:
        return True
    bits = plane.view(np.uint32)
    return bool(bits.max() < _INFINITY_BITS and bits.min() >= _LEAST_BITS)


def temporal_reference(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the ground usually sends back: the median over time of each polarisation.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit; NaN where a date does not see a pixel.

    Returns
    -------
    ndarray of float32, shape (pol, y, x)
        NaN where no date sees the pixel.

    Raises
    ------
    ValueError
        As in `check_stack`.
    """
    check_stack(stack)
    return np.stack([median_of_dates(stack[:, pol]) for pol in range(stack.shape[1])])


def scene_levels(stack: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by what each date as a whole is brighter than a reference: rain, frost, season, calibration.

    It is the median over the scene of the ratio to the reference, which change on less than half of the
    ground cannot move far. Wet ground is brighter everywhere, by 2 dB on some dates; what one pixel does
    beyond that is what is asked.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit; NaN where a date does not see a pixel.
    reference : ndarray of float32, shape (pol, y, x)
        As from `temporal_reference`.

    Returns
    -------
    ndarray of float32, shape (time, pol)
        A ratio; 1 where a date shares no pixel with the reference.

    Raises
    ------
    ValueError
        As in `check_stack`, or when the shapes disagree.
    """
    check_stack(stack)
    if reference.shape != stack.shape[1:]:
        message = f"a reference of shape {reference.shape} does not fit a stack of shape {stack.shape}"
        raise ValueError(message)
    step = max(1, int(np.sqrt(reference[0].size / _LEVEL_PIXELS)))
    thinned = np.maximum(reference[:, ::step, ::step], np.float32(LEAST_POWER))
    levels = np.ones(stack.shape[:2], np.float32)
    for date, level in zip(stack[:, :, ::step, ::step], levels, strict=True):
        for pol, (observed, usual) in enumerate(zip(date, thinned, strict=True)):
            ratio = observed / usual
            ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
            if ratio.size:
                level[pol] = np.median(ratio)
    return levels


def match_levels(stack: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring every date to the level of a reference.

    Give both periods the reference of the period before, so that what changed stays what changed.

    Parameters
    ----------
    stack, reference : ndarray of float32
        As in `scene_levels`.

    Returns
    -------
    ndarray of float32, shape (time, pol, y, x)
        Each date divided by its level. NaN stays NaN.

    Raises
    ------
    ValueError
        As in `scene_levels`.

    Examples
    --------
    >>> dates = np.ones((3, 1, 8, 8), np.float32)
    >>> dates[1] *= 1.6
    >>> match_levels(dates, temporal_reference(dates)).std().item()
    0.0
    """
    levels = scene_levels(stack, reference)[:, :, None, None]
    matched = np.empty_like(stack)

    def _work(rows: slice) -> None:
        np.divide(stack[:, :, rows], levels, out=matched[:, :, rows])

    run_blocks(
        _work, row_blocks((stack.shape[2], stack.shape[3]), stack.shape[0] * stack.shape[1], 4_000_000)
    )
    return matched


def filled_date(
    date: NDArray[np.float32], usable: NDArray[np.bool_], fill: NDArray[np.float32] | np.float32
) -> NDArray[np.float32]:
    """Return a date no darker than `LEAST_POWER`, with something else where it cannot be used.

    Parameters
    ----------
    date : ndarray of float32, shape (pol, y, x)
        Linear gamma nought.
    usable : ndarray of bool, shape (y, x)
        As from `usable_dates`.
    fill : float32, or ndarray of float32 of shape (pol, y, x)
        What gaps become.

    Returns
    -------
    ndarray of float32, shape (pol, y, x)
    """
    floored = np.maximum(date, np.float32(LEAST_POWER))
    if not usable.all():
        np.copyto(floored, fill, where=~usable)
    return floored


def direction_of(change: NDArray[Floating]) -> NDArray[np.uint8]:
    """Say which way all polarisations went.

    Parameters
    ----------
    change : ndarray of float32 or float64, shape (pol, ...)
        Positive where brighter; NaN where not judged.

    Returns
    -------
    ndarray of uint8, shape (...)
        Codes of `Direction`; `Direction.NONE` where nothing moved or nothing was judged.

    Examples
    --------
    >>> direction_of(np.array([[1, -1, 1, 0, np.nan], [2, -3, -1, 0, 1]], np.float32)).tolist()
    [1, 2, 3, 0, 0]
    """
    out = np.full(change.shape[1:], Direction.MIXED, np.uint8)
    out[(change > 0).all(axis=0)] = Direction.BRIGHTER
    out[(change < 0).all(axis=0)] = Direction.DARKER
    out[(change == 0).all(axis=0) | np.isnan(change).any(axis=0)] = Direction.NONE
    return out
