"""Optical change detectors by name: two images in, a change score out."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.prediction import PredictParameters, predict_score
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import robust_standardisation, standardisation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


class DetectorParameters(Protocol):
    """What every detector's parameters can say of themselves."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""


@dataclass(frozen=True)
class Detector:
    """A registered detector.

    Attributes
    ----------
    name : str
        What the command line and run.json call it.
    title : str
        One line for a reader.
    function : callable
        ``(before, after, valid, weights, parameters) -> score``.
    parameters : type
        Its parameters dataclass; the defaults are the detector's defaults.
    """

    name: str
    title: str
    function: Callable[..., NDArray[np.float32]]
    parameters: type[PredictParameters] | type[CvaParameters]


#: Every optical detector by name.
DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "predict": Detector(
            "predict",
            "trimmed linear prediction of each date from the other",
            predict_score,
            PredictParameters,
        ),
        "cva": Detector("cva", "change vector analysis of standardised bands", cva_score, CvaParameters),
    }
)


def contrast_of_score(
    method: str,
    score: float,
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> float:
    """Return how large a change, alike in all bands, gives a score.

    Parameters
    ----------
    method : str
        Name of the detector that gave the score.
    score : float
        In units of that detector.
    images : tuple of two ndarrays of float32, shape (band, y, x)
        Before and after.
    valid : ndarray of bool, shape (y, x)
        True where both are usable.
    weights : tuple of float
        One for each band.

    Returns
    -------
    float
        Reflectance, for ground larger than the smoothing; the larger of what the two dates would ask for.
    """
    standardise = robust_standardisation if method == "cva" else standardisation
    weight = np.array(weights) / sum(weights)
    scales = [standardise(sample)[1] for sample in sample_pixels(images, valid, 50_000, 0)]
    return max(float(score / np.sqrt((weight / scale**2).sum())) for scale in scales)
