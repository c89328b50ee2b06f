"""Slow features: change in the combinations of bands that usually stay the same from date to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.reweighting import (
    CONSTANT,
    LEAST_VARIANCE,
    Contrasts,
    ReweightingParameters,
    contrast_score,
    fit_contrasts,
    rounded,
    whitening,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.covariance import Moments
    from changedet.core.reweighting import Fitted


@dataclass(frozen=True)
class SfaParameters(ReweightingParameters):
    """Parameters of `slow_feature_score`: one fit, in which all pixels count alike."""


@dataclass(frozen=True)
class IsfaParameters(SfaParameters):
    """Parameters of `slow_feature_score`: those of `SfaParameters`, with rounds of weighting.

    Attributes
    ----------
    iterations : int
        Most rounds.
    """

    iterations: int = 50


def slow_feature_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: SfaParameters = SfaParameters(),
) -> NDArray[np.float32]:
    """Score change by the differences of the slowest features, each in standard deviations.

    Slow feature analysis (Wu, Du and Zhang 2014, doi:10.1109/TGRS.2013.2266673) brings each band of each date
    to mean 0 and variance 1, and finds combinations of bands, the same ones for both dates, that have
    variance 1 and differ as little as they can between the dates. What is left of their differences is
    change. With `iterations` the analysis is repeated, each pixel weighed by how unaltered the last round
    shows it to be.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        As in `predict_score`.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band. Bands of no weight are left out, all others count alike.
    parameters : SfaParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative: root mean square of the standardised differences, smoothed. NaN where
        `valid` is False. Swapping before and after, a gain, or an offset of a band leave it unchanged.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    NoUsableImageryError
        When some pixels are usable, but fewer than 10 for each band of both dates, or no band varies on both.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((3, 64, 64), dtype=np.float32)
    >>> after = 0.5 * before + 0.1 + 0.02 * rng.random((3, 64, 64), dtype=np.float32)
    >>> after[:, 30:36, 30:36] = 2.0
    >>> score = slow_feature_score(before, after, np.ones((64, 64), bool), (1.0, 1.0, 1.0))
    >>> bool(score[32, 32] > 5 * np.median(score))
    True
    """

    def fit(first: NDArray[np.float32], second: NDArray[np.float32]) -> Fitted:
        """Fit the bands that have a weight."""
        return fit_contrasts(first, second, valid, slow_contrasts, parameters)

    return contrast_score((before, after), valid, weights, fit, parameters.smoothing_px)


def slow_contrasts(moments: Moments) -> Contrasts:
    """Find combinations of standardised bands, the same for both dates, that differ least.

    Parameters
    ----------
    moments : Moments
        Of the bands of before and, after them, of the same bands of after.

    Returns
    -------
    Contrasts
        The slowest first; `spectrum` holds the eigenvalues, the variances of the differences.

    Raises
    ------
    NoUsableImageryError
        When no band varies on both dates.
    """
    bands = len(moments.mean) // 2
    inverse = _inverse_deviations(moments, bands)
    correlation = moments.covariance * np.outer(inverse, inverse)
    same = (correlation[:bands, :bands] + correlation[bands:, bands:]) / 2
    across = correlation[:bands, bands:]
    difference = 2 * same - across - across.T
    basis = whitening(same, np.zeros(bands))
    slowness, vectors = np.linalg.eigh(basis.T @ difference @ basis)
    features = (basis @ vectors).T
    matrix = rounded(np.hstack([features * inverse[:bands], -features * inverse[bands:]]))
    return Contrasts(
        rounded(slowness), matrix, rounded(np.sqrt(np.maximum(slowness, LEAST_VARIANCE))), moments.mean
    )


def _inverse_deviations(moments: Moments, bands: int) -> NDArray[np.float64]:
    """One over the standard deviation of each band of each date; 0 for both where one does not vary."""
    deviation = np.sqrt(np.maximum(np.diag(moments.covariance), 0))
    varies = (deviation > CONSTANT * np.abs(moments.mean)).reshape(2, bands).all(axis=0)
    return np.where(np.tile(varies, 2), 1 / np.where(deviation > 0, deviation, 1), 0)
