"""Smoothing of a change score at several scales, without what cannot be used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.planes import by_tiles, with_nan

if TYPE_CHECKING:
    from numpy.typing import NDArray

# OpenCV cuts a Gaussian off at four standard deviations.
_REACH = 4.0


def blur_valid(plane: NDArray[np.float32], valid: NDArray[np.bool_], sigma_px: float) -> NDArray[np.float32]:
    """Smooth a plane with a Gaussian; unusable pixels neither give nor take.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        Anything where not `valid`.
    valid : ndarray of bool, shape (y, x)
        True where usable.
    sigma_px : float
        Standard deviation in pixels.

    Returns
    -------
    ndarray of float32, shape (y, x)
        A weighted mean of usable neighbours, also where the pixel itself is not usable; 0 where there is no
        usable neighbour.
    """
    return Blur(valid, sigma_px)(plane if valid.all() else np.where(valid, plane, np.float32(0)))


class Blur:
    """A Gaussian over ground of which not all is usable, for several planes of it.

    Parameters
    ----------
    valid : ndarray of bool, shape (y, x)
        True where usable.
    sigma_px : float
        Standard deviation in pixels.

    Examples
    --------
    >>> valid = np.array([[True, True, False]])
    >>> Blur(valid, 1.0)(np.array([[2, 2, 0]], np.float32)).tolist()
    [[2.0, 2.0, 2.0]]
    """

    def __init__(self, valid: NDArray[np.bool_], sigma_px: float) -> None:
        self._sigma_px = sigma_px
        # the weight under the Gaussian is asked for once, however many planes there are
        self._share = None if valid.all() else self._usable_share(valid)

    def __call__(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smooth a plane that is 0 where nothing is usable, as `blur_valid` does."""
        blurred = _blur(plane, self._sigma_px)
        if self._share is not None:
            blurred /= self._share
        return blurred

    def _usable_share(self, valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.maximum(_blur(valid.astype(np.float32), self._sigma_px), np.float32(1e-6))


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
    nothing = np.float32(np.nan)
    if not smoothing_px:
        return with_nan(score, valid)

    def _tile(wide: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.where(usable, _smooth_tile(wide, usable, smoothing_px), nothing)

    return by_tiles(_tile, score, valid, halo_px=blur_reach_px(max(smoothing_px)), dtype=np.float32)


def blur_reach_px(sigma_px: float) -> int:
    """Return from how far a pixel counts in `blur_valid`.

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.

    Returns
    -------
    int
        Pixels, rounded up.

    Examples
    --------
    >>> blur_reach_px(2.0)
    9
    """
    return math.ceil(_REACH * sigma_px) + 1


def _smooth_tile(
    score: NDArray[np.float32], valid: NDArray[np.bool_], smoothing_px: tuple[float, ...]
) -> NDArray[np.float32]:
    power = np.float32(1 / len(smoothing_px))
    product = np.ones(valid.shape, np.float32)
    for sigma in smoothing_px:
        product *= np.maximum(blur_valid(score, valid, sigma), 0) ** power
    return product


def _blur(plane: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT))
