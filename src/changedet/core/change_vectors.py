"""Change as the length of the change vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.sampling import sample_pixels
from changedet.core.scaling import check_pair, robust_standardisation
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CvaParameters:
    """Parameters of `cva_score`.

    Attributes
    ----------
    smoothing_px : tuple of float
        As in `PredictParameters`.
    """

    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {"smoothing_px": list(self.smoothing_px)}


def cva_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: CvaParameters = CvaParameters(),
) -> NDArray[np.float32]:
    """Score change as the length of the change vector of standardised bands.

    Change vector analysis: Bovolo and Bruzzone 2007, doi:10.1109/TGRS.2006.885408. Each band of each date is
    centred on its median and divided by its median absolute deviation first.

    Parameters
    ----------
    before, after, valid, weights
        As in `predict_score`.
    parameters : CvaParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    """
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    samples = sample_pixels((before, after), valid, 200_000, 0)
    (mean_b, scale_b), (mean_a, scale_a) = (robust_standardisation(sample) for sample in samples)
    total = np.zeros(valid.shape, np.float32)
    planes = zip(before, after, weights, strict=True)
    for i, (plane_before, plane_after, weight) in enumerate(planes):
        change = plane_after * np.float32(1 / scale_a[i])
        change -= plane_before * np.float32(1 / scale_b[i])
        change -= np.float32(mean_a[i] / scale_a[i] - mean_b[i] / scale_b[i])
        change *= change
        change *= np.float32(weight)
        total += change
    return smooth_score(np.sqrt(total / np.float32(sum(weights))), valid, parameters.smoothing_px)
