"""Smoothing of a change score at several scales, without what cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def smooth_score(
    score: NDArray[np.float32], valid: NDArray[np.bool_], smoothing_px: tuple[float, ...]
) -> NDArray[np.float32]:
    """Smooth a score at several scales and combine them by geometric mean.

    Unusable pixels neither give nor take: each Gaussian is normalised by the usable weight under it.

    Parameters
    ----------
    score : ndarray of float32, shape (y, x)
        Not negative where `valid`; anything elsewhere.
    valid : ndarray of bool, shape (y, x)
        True where usable.
    smoothing_px : tuple of float
        Standard deviations in pixels; empty for none.

    Returns
    -------
    ndarray of float32, shape (y, x)
        NaN where `valid` is False.
    """
    weight = valid.astype(np.float32)
    filled = np.where(valid, score, np.float32(0))
    if not smoothing_px:
        return np.where(valid, filled, np.float32(np.nan))
    product = np.ones(valid.shape, np.float32)
    for sigma in smoothing_px:
        share = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        blurred = cv2.GaussianBlur(filled, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        product *= np.maximum(blurred / np.maximum(share, np.float32(1e-6)), 0) ** np.float32(
            1 / len(smoothing_px)
        )
    return np.where(valid, product, np.float32(np.nan))
