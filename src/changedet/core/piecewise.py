"""Additive piecewise linear regression: how one image usually follows from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels per step of a prediction: its buffers stay in the cache of one core.
_STEP_PIXELS = 4_096
_ROUNDS = 3


class FitParameters(Protocol):
    """What a fit has to know."""

    @property
    def trim(self) -> float:
        """Share of the pixels that a repeated fit keeps."""

    @property
    def ridge(self) -> float:
        """Ridge penalty for each pixel, on standardised predictors."""


@dataclass(frozen=True, eq=False)
class PiecewiseFit:
    """A sum of piecewise linear functions of single bands, one sum for each target.

    Attributes
    ----------
    knots : ndarray of float32, shape (band, knot)
        Values of each band at which the slope changes.
    slopes : ndarray of float32, shape (band, target, 1 + knot)
        Of the band itself and of the part of it above each knot.
    constant : ndarray of float32, shape (target,)
        What is predicted where all bands are 0 and below their knots.
    """

    knots: NDArray[np.float32]
    slopes: NDArray[np.float32]
    constant: NDArray[np.float32]

    def predict(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict the targets from an image.

        Parameters
        ----------
        image : ndarray of float32, shape (band, y, x)
            In the unit of the pixels that the fit has seen.

        Returns
        -------
        ndarray of float32, shape (target, y, x)
            In the unit of the targets that the fit has seen; NaN where a band is NaN.
        """
        flat = image.reshape(len(image), -1)
        out = np.empty((len(self.constant), flat.shape[1]), np.float32)
        predictors = np.empty((len(flat), 1 + self.knots.shape[1], _STEP_PIXELS), np.float32)
        for start in range(0, flat.shape[1], _STEP_PIXELS):
            part = np.s_[:, start : start + _STEP_PIXELS]
            self._predict_part(flat[part], predictors[:, :, : flat[part].shape[1]], out[part])
        return out.reshape(-1, *image.shape[1:])

    def _predict_part(
        self, pixels: NDArray[np.float32], predictors: NDArray[np.float32], out: NDArray[np.float32]
    ) -> None:
        """Predict some pixels; the predictors are room to work in."""
        predictors[:, 0] = pixels
        np.subtract(pixels[:, None], self.knots[:, :, None], out=predictors[:, 1:])
        np.maximum(predictors[:, 1:], np.float32(0), out=predictors[:, 1:])
        # einsum, not a BLAS product, whose last digits depend on threads and processor
        np.einsum("btk,bkp->tp", self.slopes, predictors, out=out)
        out += self.constant[:, None]


def fit_piecewise(
    pixels: NDArray[np.float64],
    targets: NDArray[np.float64],
    quantiles: tuple[float, ...],
    parameters: FitParameters,
) -> PiecewiseFit:
    """Fit targets as sums of piecewise linear functions of the bands, by trimmed ridge regression.

    The fit is made three times, each time after the first with the share `trim` of the pixels that the one
    before predicted best, so that a minority that changed does not bend it. An additive model with fixed
    knots: Hastie and Tibshirani 1986, doi:10.1214/ss/1177013604.

    Parameters
    ----------
    pixels : ndarray of float64, shape (band, pixel)
        A sample, any unit.
    targets : ndarray of float64, shape (target, pixel)
        Of the same pixels, of comparable spread: an error counts alike in all.
    quantiles : tuple of float
        Where each band gets its knots, 0 to 1.
    parameters : FitParameters
        ``trim`` and ``ridge``.

    Returns
    -------
    PiecewiseFit
        Rounded to nine digits, so that it is the same on every processor.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> x = np.linspace(-1, 1, 401)[None]
    >>> fit = fit_piecewise(x, np.abs(x), (0.5,), SimpleNamespace(trim=1.0, ridge=0.0))
    >>> np.round(fit.predict(np.float32([[[-0.5, 0.25]]])), 3).tolist()
    [[[0.5, 0.25]]]
    """
    knots = np.quantile(pixels, quantiles, axis=1).T if quantiles else np.empty((len(pixels), 0))
    above = np.maximum(pixels[:, None] - knots[:, :, None], 0)
    predictors = np.concatenate([pixels[:, None], above], axis=1)
    bands, each = predictors.shape[:2]
    flat = predictors.reshape(bands * each, -1)
    centre, scale = flat.mean(axis=1), np.maximum(flat.std(axis=1), 1e-9)
    coefficients = _trimmed_ridge((flat - centre[:, None]) / scale[:, None], targets, parameters)
    slopes = coefficients[:, :-1] / scale
    constant = coefficients[:, -1] - slopes @ centre
    return PiecewiseFit(
        knots.astype(np.float32),
        np.ascontiguousarray(slopes.reshape(-1, bands, each).transpose(1, 0, 2).astype(np.float32)),
        constant.astype(np.float32),
    )


def _trimmed_ridge(
    x: NDArray[np.float64], y: NDArray[np.float64], parameters: FitParameters
) -> NDArray[np.float64]:
    """Fit ``y = C [x; 1]`` by ridge regression, refitting without the pixels predicted worst."""
    design = np.vstack([x, np.ones((1, x.shape[1]))])
    keep = np.ones(x.shape[1], bool)
    coefficients = np.zeros((len(y), len(design)))
    for _ in range(_ROUNDS):
        kept = design[:, keep]
        penalty = parameters.ridge * kept.shape[1] * np.eye(len(design))
        penalty[-1, -1] = 0.0
        # a band that is the same everywhere leaves the system singular without a penalty
        penalty += 1e-9 * kept.shape[1] * np.eye(len(design))
        coefficients = np.linalg.solve(kept @ kept.T + penalty, kept @ y[:, keep].T).T
        squared = ((y - coefficients @ design) ** 2).sum(axis=0)
        keep = squared <= np.quantile(squared, parameters.trim)
    return np.round(coefficients, 9)
