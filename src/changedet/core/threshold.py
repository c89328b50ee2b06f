"""From a score to a decision: robust thresholds that assume no share of changed pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    """

    seed_mads: float = 8.0
    grow_mads: float = 4.5

    def __post_init__(self) -> None:
        if not 0 < self.grow_mads <= self.seed_mads:
            message = "grow_mads must be positive and not above seed_mads"
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
        """Return a score as robust standard deviations above the background median."""
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
    judged = score[np.isfinite(score)]
    if judged.size == 0:
        return Thresholds(float("nan"), 0.0, float("inf"), float("inf"))
    median = float(np.median(judged))
    mad = float(1.4826 * np.median(np.abs(judged - np.float32(median))))
    if mad <= 0:
        return Thresholds(median, 0.0, float("inf"), float("inf"))
    return Thresholds(median, mad, median + parameters.seed_mads * mad, median + parameters.grow_mads * mad)
