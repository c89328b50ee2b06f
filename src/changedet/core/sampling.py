"""A reproducible sample of the usable pixels, on which statistics are fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def sample_pixels(
    images: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_], size: int, seed: int
) -> tuple[NDArray[np.float64], ...]:
    """Draw the same usable pixels from several images.

    Parameters
    ----------
    images : sequence of ndarray of float32, each of shape (band, y, x)
        On the same grid.
    valid : ndarray of bool, shape (y, x)
        True where all images are usable.
    size : int
        Largest number of pixels; all are taken when there are fewer.
    seed : int
        Same seed, same pixels.

    Returns
    -------
    tuple of ndarray of float64, each of shape (band, pixel)
        In raster order, one for each image.
    """
    index = np.flatnonzero(valid)
    if len(index) > size:
        index = np.sort(np.random.default_rng(seed).choice(index, size, replace=False))
    return tuple(image.reshape(len(image), -1)[:, index].astype(np.float64) for image in images)
