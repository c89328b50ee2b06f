"""What every detector does with a pair before it scores: check it, and put its bands on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.sampling import MAD_TO_SPREAD, last_axis_median

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A spread below this share of the largest number, or below this, is that of float32.
_ALIKE = 1e-6


def check_pair(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> None:
    """Refuse a pair of images whose shapes or weights do not fit together.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        The two dates.
    valid : ndarray of bool, shape (y, x)
        True where both are usable.
    weights : tuple of float
        One for each band.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree, or no weight is positive.
    """
    if before.shape != after.shape or before.shape[1:] != valid.shape or len(weights) != len(before):
        message = (
            f"shapes disagree: {before.shape}, {after.shape}, valid {valid.shape}, {len(weights)} weights"
        )
        raise ValueError(message)
    if min(weights) < 0 or sum(weights) <= 0:
        message = "weights must not be negative, and one must be positive"
        raise ValueError(message)


def standardisation(sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each band, and the standard deviation, never 0.

    Parameters
    ----------
    sample : ndarray of float64, shape (band, pixel)
        Usable pixels.

    Returns
    -------
    tuple of two ndarrays of float64, shape (band,)
        Centre and scale, in the unit of the sample.
    """
    return sample.mean(axis=1), np.maximum(sample.std(axis=1), 1e-6)


def robust_standardisation(sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median of each band, and the median absolute deviation times 1.4826, never 0.

    Parameters
    ----------
    sample : ndarray of float64, shape (band, pixel)
        Usable pixels.

    Returns
    -------
    tuple of two ndarrays of float64, shape (band,)
        Centre and scale, in the unit of the sample.
    """
    centre = last_axis_median(sample)
    return centre, np.maximum(MAD_TO_SPREAD * last_axis_median(np.abs(sample - centre[:, None])), 1e-6)


def centre_and_spread(sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median of each band and its robust spread, which does not fail where half of it is alike.

    Parameters
    ----------
    sample : ndarray of float64, shape (band, pixel)
        Usable pixels.

    Returns
    -------
    tuple of two ndarrays of float64, shape (band,)
        Centre and scale as from `robust_standardisation`, but the standard deviation where more than half of
        the pixels of a band are alike, and 0 for a band of one value.
    """
    centre, scale = robust_standardisation(sample)
    least = _ALIKE * np.maximum(np.abs(sample).max(axis=1), 1)
    spread = np.where(scale > least, scale, sample.std(axis=1))
    return centre, np.where(spread > least, spread, 0.0)
