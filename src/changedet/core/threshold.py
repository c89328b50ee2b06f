"""From a score to a decision: robust thresholds that assume no share of changed pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.planes import by_tiles
from changedet.core.sampling import MAD_TO_SPREAD, plane_median

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ThresholdParameters:
    """How far a score must rise above the background to be flagged.

    Attributes
    ----------
    seed_mads, grow_mads : float
        An object needs a pixel above ``median + seed_mads * mad`` and consists of the connected pixels above
        ``median + grow_mads * mad``, where mad is the median absolute deviation times 1.4826.
    seed_contrast, grow_contrast : float
        Of these pixels the first must also differ from what was expected by at least `seed_contrast`, and
        all by `grow_contrast`, in reflectance and after noise has been smoothed: what stands out of a very
        quiet background may still be less than the sensor's own uncertainty.
    seed_contrast_share : float
        What stands out only before the score is smoothed widely, and its peaks are capped, must differ from
        what was expected by at least this share of its reflectance as well: sun and wetness change bright
        ground by more than they change dark ground.
    peak_share : float
        A pixel whose finely smoothed score is below this share of the highest one nearby is the halo of that
        peak, not part of the object.
    peak_reach_px : int
        How far "nearby" is, in pixels.
    """

    seed_mads: float = 10.0
    grow_mads: float = 5.0
    seed_contrast: float = 0.02
    grow_contrast: float = 0.01
    seed_contrast_share: float = 0.4
    peak_share: float = 0.25
    peak_reach_px: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.grow_mads <= self.seed_mads:
            message = "grow_mads must be positive and not above seed_mads"
            raise ValueError(message)
        if not 0 <= self.grow_contrast <= self.seed_contrast:
            message = "grow_contrast must not be negative and not above seed_contrast"
            raise ValueError(message)
        if not 0 <= self.seed_contrast_share <= 1:
            message = "seed_contrast_share must lie in 0..1"
            raise ValueError(message)
        if not 0 <= self.peak_share < 1 or self.peak_reach_px < 0:
            message = "peak_share must lie in 0..1 and peak_reach_px must not be negative"
            raise ValueError(message)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of one score map, in units of the score.

    Attributes
    ----------
    median, mad : float
        Background of the usable pixels; mad is scaled to a standard deviation (times 1.4826).
    seed, grow : float
        The two thresholds of the hysteresis.
    """

    median: float
    mad: float
    seed: float
    grow: float

    def mads(self, score: float) -> float:
        """Return a score as robust standard deviations above the background median.

        Parameters
        ----------
        score : float
            In units of the score map.

        Returns
        -------
        float
            0 when the background does not vary.
        """
        return (score - self.median) / self.mad if self.mad > 0 else 0.0


def robust_thresholds(
    score: NDArray[np.float32], parameters: ThresholdParameters = ThresholdParameters()
) -> Thresholds:
    """Derive both thresholds from the background of a score map.

    No share of changed pixels is assumed, so a scene in which nothing happened may yield nothing: that
    matters more to a monitor than the last point of accuracy on scenes known to have changed.

    Parameters
    ----------
    score : ndarray of float32, any shape
        NaN = not judged.
    parameters : ThresholdParameters

    Returns
    -------
    Thresholds
        Infinite seed and grow thresholds when nothing was judged or the score does not vary.

    Examples
    --------
    >>> score = np.append(np.linspace(0.9, 1.1, 99), 9.0).astype(np.float32)
    >>> bool(robust_thresholds(score).seed < 9)
    True
    """
    rows = score.reshape(-1, score.shape[-1] if score.ndim > 1 else 1)
    median = plane_median(_judged, rows)
    if math.isnan(median):
        return Thresholds(median, 0.0, float("inf"), float("inf"))
    mad = MAD_TO_SPREAD * plane_median(lambda part: np.abs(_judged(part) - np.float32(median)), rows)
    if mad <= 0:
        return Thresholds(median, 0.0, float("inf"), float("inf"))
    return Thresholds(median, mad, median + parameters.seed_mads * mad, median + parameters.grow_mads * mad)


def outline_pixels(
    fine_score: NDArray[np.float32], parameters: ThresholdParameters = ThresholdParameters()
) -> NDArray[np.bool_]:
    """Return the pixels that stand out by themselves, not only through the smoothing of a neighbour.

    Smoothing at several scales finds objects well and draws them too large: a strong one spreads over the
    ground round it. The outline is therefore read from a score smoothed at the finest scale only.

    Parameters
    ----------
    fine_score : ndarray of float32, shape (y, x)
        NaN = not judged.
    parameters : ThresholdParameters
        ``grow_mads``, ``peak_share`` and ``peak_reach_px`` are used.

    Returns
    -------
    ndarray of bool, shape (y, x)
        False where the score is NaN.

    Examples
    --------
    >>> score = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    >>> score[4, 4], score[4, 5] = 100.0, 20.0
    >>> [bool(outline_pixels(score)[4, column]) for column in (4, 5)]
    [True, False]
    """
    size = 2 * parameters.peak_reach_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    limit = np.float32(robust_thresholds(fine_score, parameters).grow)

    def _tile(wide: NDArray[np.float32]) -> NDArray[np.bool_]:
        filled = np.nan_to_num(wide)
        peak = cv2.dilate(filled, disc)
        return np.asarray(filled > np.maximum(limit, np.float32(parameters.peak_share) * peak))

    return by_tiles(_tile, fine_score, halo_px=parameters.peak_reach_px, dtype=bool)


def _judged(score: NDArray[np.float32]) -> NDArray[np.float32]:
    return score[np.isfinite(score)]
