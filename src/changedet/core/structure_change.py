"""Change of the local pattern of light and dark, whatever the light of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.smoothing import Blur

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviation of the window in which patterns are compared, in pixels.
WINDOW_PX = 1.0
#: Variance below which a pattern is taken for noise, in squared standard deviations of the band.
NOISE_VARIANCE = 0.2


def structure_change(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return one minus the local correlation of two images, regularised where there is no pattern.

    A field that turns from green to bare keeps its pattern, and so does a roof in another light; a building
    where there was none does not. Per band the covariance in a small Gaussian window is divided by both
    standard deviations, and a constant is added to variances and covariance so that noise on plain ground
    does not count as a pattern. This is the structure term of Wang, Bovik, Sheikh and Simoncelli 2004,
    doi:10.1109/TIP.2003.819861, with that constant in the variances.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Standardised: standard deviations from the mean of the scene. Anything finite where not usable.
    valid : ndarray of bool, shape (y, x)
        True where both are usable.
    weights : ndarray of float32, shape (band,)
        Together 1.

    Returns
    -------
    ndarray of float32, shape (y, x)
        0 = the same pattern or none on both dates, towards 1 = unlike, up to 2 = inverted; 0 where not
        usable.

    Examples
    --------
    >>> flat, spot = np.zeros((2, 1, 9, 9), np.float32)
    >>> spot[0, 4, 4] = 9.0
    >>> change = structure_change(flat, spot, np.ones((9, 9), bool), np.ones(1, np.float32))
    >>> bool(change[4, 4] > 0.5), bool(change[0, 0] < 0.01)
    (True, True)
    """
    total = np.zeros(valid.shape, np.float32)
    noise = np.float32(NOISE_VARIANCE)
    smooth = Blur(valid, WINDOW_PX)
    for band, weight in enumerate(weights):
        x, y = (planes[band] * valid for planes in (before, after))
        mean_x, mean_y = smooth(x), smooth(y)
        var_x = np.maximum(smooth(x * x) - mean_x * mean_x, 0) + noise
        var_y = np.maximum(smooth(y * y) - mean_y * mean_y, 0) + noise
        both = smooth(x * y) - mean_x * mean_y + noise
        total += np.float32(weight) * (1 - both / np.sqrt(var_x * var_y))
    return np.where(valid, np.maximum(total, np.float32(0)), np.float32(0))
