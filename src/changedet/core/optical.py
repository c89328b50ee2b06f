"""Optical change detectors: two images in, a change score out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from changedet.core.sampling import last_axis_median, sample_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

# Rows per block: small enough that the buffers of ten bands stay in the cache of one core.
_BLOCK_PIXELS = 16_384


class DetectorParameters(Protocol):
    """What every detector's parameters can say of themselves."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""


@dataclass(frozen=True)
class PredictParameters:
    """Parameters of `predict_score`.

    Attributes
    ----------
    trim : float
        Share of the sampled pixels, those predicted best, that the second and third fit keep.
    ridge : float
        Ridge penalty per sampled pixel, on standardised bands.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians whose smoothed scores are combined by geometric mean.
    sample : int
        Largest number of pixels in the fit.
    seed : int
        Seed of that sample.
    """

    trim: float = 0.85
    ridge: float = 0.01
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)
    sample: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.trim <= 1 or self.ridge < 0 or self.sample < 1:
            message = "trim must lie in 0.5..1, ridge must not be negative, sample must be positive"
            raise ValueError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return asdict(self) | {"smoothing_px": list(self.smoothing_px)}


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


def predict_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: PredictParameters = PredictParameters(),
) -> NDArray[np.float32]:
    """Score change as the part of each date that the other date does not predict.

    From the scene itself a linear map is learnt that says what the after image normally looks like where
    the before image looked like this, and the reverse. What neither direction expects is change: the score is
    the smaller of the two surprises, so a seasonal shift that is the same everywhere, haze, a gain or an
    offset on one date leave it as it is. The fit is repeated without the pixels it predicts worst. Ancestors:
    the chronochrome of Schaum and Stocker (1997), and Theiler and Perkins (2006) for the symmetric view.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Any linear radiometric unit, registered to each other, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band: all bands predict, the weighted ones score.
    parameters : PredictParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative: surprise in standard deviations of the bands, smoothed. NaN where `valid`
        is False. Swapping before and after leaves it unchanged.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((3, 64, 64), dtype=np.float32)
    >>> after = 0.5 * before + 0.1
    >>> after[:, 30:36, 30:36] = 2.0
    >>> score = predict_score(before, after, np.ones((64, 64), bool), (1.0, 1.0, 1.0))
    >>> bool(score[32, 32] > 20 * np.median(score))
    True
    """
    _check(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    samples = sample_pixels((before, after), valid, parameters.sample, parameters.seed)
    standard = tuple(_standardisation(sample) for sample in samples)
    scaled = tuple((s - m[:, None]) / d[:, None] for s, (m, d) in zip(samples, standard, strict=True))
    forward = _trimmed_fit(scaled[0], scaled[1], parameters)
    backward = _trimmed_fit(scaled[1], scaled[0], parameters)
    surprise = np.minimum(
        _surprise(before, after, standard[0], standard[1], forward, weights),
        _surprise(after, before, standard[1], standard[0], backward, weights),
    )
    return smooth_score(surprise, valid, parameters.smoothing_px)


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
    _check(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    samples = sample_pixels((before, after), valid, 200_000, 0)
    (mean_b, scale_b), (mean_a, scale_a) = (_robust_standardisation(sample) for sample in samples)
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
    standardise = _robust_standardisation if method == "cva" else _standardisation
    weight = np.array(weights) / sum(weights)
    scales = [standardise(sample)[1] for sample in sample_pixels(images, valid, 50_000, 0)]
    return max(float(score / np.sqrt((weight / scale**2).sum())) for scale in scales)


def _check(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
) -> None:
    if before.shape != after.shape or before.shape[1:] != valid.shape or len(weights) != len(before):
        message = (
            f"shapes disagree: {before.shape}, {after.shape}, valid {valid.shape}, {len(weights)} weights"
        )
        raise ValueError(message)
    if min(weights) < 0 or sum(weights) <= 0:
        message = "weights must not be negative, and one must be positive"
        raise ValueError(message)


def _standardisation(sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return sample.mean(axis=1), np.maximum(sample.std(axis=1), 1e-6)


def _robust_standardisation(sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre = last_axis_median(sample)
    return centre, np.maximum(1.4826 * last_axis_median(np.abs(sample - centre[:, None])), 1e-6)


def _trimmed_fit(
    x: NDArray[np.float64], y: NDArray[np.float64], parameters: PredictParameters
) -> NDArray[np.float64]:
    """Fit ``y = C [x; 1]`` by ridge regression, refitting without the pixels predicted worst."""
    design = np.vstack([x, np.ones((1, x.shape[1]))])
    keep = np.ones(x.shape[1], bool)
    coefficients = np.zeros((len(y), len(design)))
    for _ in range(3):
        kept = design[:, keep]
        penalty = parameters.ridge * kept.shape[1] * np.eye(len(design))
        penalty[-1, -1] = 0.0
        coefficients = np.linalg.solve(kept @ kept.T + penalty, kept @ y[:, keep].T).T
        squared = ((y - coefficients @ design) ** 2).sum(axis=0)
        keep = squared <= np.quantile(squared, parameters.trim)
    # the last digits depend on the processor and the number of threads; results must not
    return np.round(coefficients, 9)


def _surprise(
    given: NDArray[np.float32],
    target: NDArray[np.float32],
    given_standard: tuple[NDArray[np.float64], NDArray[np.float64]],
    target_standard: tuple[NDArray[np.float64], NDArray[np.float64]],
    coefficients: NDArray[np.float64],
    weights: tuple[float, ...],
) -> NDArray[np.float32]:
    """Weighted length of the prediction error, in standard deviations of the target, block by block."""
    (given_mean, given_scale), (target_mean, target_scale) = given_standard, target_standard
    # one matrix from raw to raw: residual / scale = A target - B given - c
    slope = (coefficients[:, :-1] / given_scale).astype(np.float32)
    constant = (
        coefficients[:, -1] - coefficients[:, :-1] @ (given_mean / given_scale) + target_mean / target_scale
    )
    inverse = (1 / target_scale).astype(np.float32)[:, None]
    root_weights = np.sqrt(np.array(weights) / sum(weights)).astype(np.float32)[:, None]
    flat_given, flat_target = given.reshape(len(given), -1), target.reshape(len(target), -1)
    out = np.empty(flat_given.shape[1], np.float32)
    shift = constant.astype(np.float32)[:, None]
    for start in range(0, out.size, _BLOCK_PIXELS):
        block = slice(start, start + _BLOCK_PIXELS)
        # einsum, not a BLAS product, whose last digits depend on threads and processor
        predicted = np.einsum("tg,gp->tp", slope, flat_given[:, block])
        residual = root_weights * (flat_target[:, block] * inverse - predicted - shift)
        np.sqrt(np.einsum("bp,bp->p", residual, residual), out=out[block])
    return out.reshape(given.shape[1:])
