"""Change as what neither date predicts of the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.sampling import sample_pixels
from changedet.core.scaling import check_pair, standardisation
from changedet.core.smoothing import smooth_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows per block: small enough that the buffers of ten bands stay in the cache of one core.
_BLOCK_PIXELS = 16_384


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
    check_pair(before, after, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    samples = sample_pixels((before, after), valid, parameters.sample, parameters.seed)
    standard = tuple(standardisation(sample) for sample in samples)
    scaled = tuple((s - m[:, None]) / d[:, None] for s, (m, d) in zip(samples, standard, strict=True))
    forward = _trimmed_fit(scaled[0], scaled[1], parameters)
    backward = _trimmed_fit(scaled[1], scaled[0], parameters)
    surprise = np.minimum(
        _surprise(before, after, standard[0], standard[1], forward, weights),
        _surprise(after, before, standard[1], standard[0], backward, weights),
    )
    return smooth_score(surprise, valid, parameters.smoothing_px)


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
