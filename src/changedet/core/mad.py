"""Multivariate alteration detection: what the best correlated combinations of two dates do not share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.chi_square import chi_square_tail
from changedet.core.planes import with_nan
from changedet.core.reweighting import (
    LEAST_VARIANCE,
    Contrasts,
    ReweightingParameters,
    contrast_images,
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
class MadParameters(ReweightingParameters):
    """Parameters of `mad_score`: one fit, in which all pixels count alike.

    Attributes
    ----------
    ridge : float
        Share of its own variance that every band gets on top in the fit, which keeps coefficients small. 0
        leaves the result as it is under every linear combination of bands; 1e-4 to 1e-2 steady bands that
        hardly differ.
    """

    ridge: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ridge <= 1:
            message = f"ridge must lie in 0..1, not {self.ridge}"
            raise ValueError(message)


@dataclass(frozen=True)
class IrMadParameters(MadParameters):
    """Parameters of `irmad`: those of `MadParameters`, with rounds of weighting.

    Attributes
    ----------
    iterations : int
        Most rounds.
    """

    iterations: int = 50


@dataclass(frozen=True, eq=False)
class MadResult:
    """The outcome of `irmad`.

    Attributes
    ----------
    variates : ndarray of float32, shape (variate, y, x)
        Differences of canonical variates, before less after, the least correlated pair first; unitless, with
        variance ``2 (1 - correlation)`` where nothing was altered. NaN where not usable.
    chi_square : ndarray of float32, shape (y, x)
        Sum of their squares, each divided by its variance. NaN where not usable.
    invariance : ndarray of float32, shape (y, x)
        Share of unaltered pixels whose `chi_square` would be larger, 0 to 1, were the variates normal and
        independent, which in imagery they are not: a rank, and the weight of the pixel in a further round.
    correlations : ndarray of float64, shape (variate,)
        Canonical correlations, ascending.
    before_vectors, after_vectors : ndarray of float64, shape (variate, band)
        ``variate = before_vectors @ (before - before_mean) - after_vectors @ (after - after_mean)``.
    before_mean, after_mean : ndarray of float64, shape (band,)
        Of the pixels that count as unaltered, in the unit of the images.
    iterations : int
        Rounds of weighting that were made.
    converged : bool
        Whether the last of them changed the correlations by less than the tolerance.
    """

    variates: NDArray[np.float32]
    chi_square: NDArray[np.float32]
    invariance: NDArray[np.float32]
    correlations: NDArray[np.float64]
    before_vectors: NDArray[np.float64]
    after_vectors: NDArray[np.float64]
    before_mean: NDArray[np.float64]
    after_mean: NDArray[np.float64]
    iterations: int
    converged: bool


def irmad(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    parameters: MadParameters = IrMadParameters(),
) -> MadResult:
    """Transform two dates into differences of canonical variates, fitted to what stayed as it was.

    Canonical correlation analysis finds combinations of the bands of before and of after that correlate as
    much as they can. Their differences are the MAD variates (Nielsen, Conradsen and Simpson 1998,
    doi:10.1016/S0034-4257(97)00162-4): uncorrelated, and the same for every linear combination of the bands
    of either date, so that gain, offset and unit do not matter. With `iterations` the analysis is repeated,
    each pixel weighed by how unaltered the last round shows it to be (IR-MAD, Nielsen 2007,
    doi:10.1109/TIP.2006.888195).

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Any linear unit, registered to each other. The bands may differ, also in number.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    parameters : MadParameters
        No rounds of weighting are plain MAD.

    Returns
    -------
    MadResult
        With as many variates as the date with fewer bands has, less the bands that are constant or repeat
        combinations of others.

    Raises
    ------
    ValueError
        When the grids disagree.
    NoUsableImageryError
        When fewer than 10 pixels are usable for each band of both dates, or one date does not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = rng.random((3, 64, 64), dtype=np.float32)
    >>> after = 0.5 * before[::-1] + 0.1 + 0.02 * rng.random((3, 64, 64), dtype=np.float32)
    >>> after[:, 30:36, 30:36] = 2.0
    >>> result = irmad(before, after, np.ones((64, 64), bool))
    >>> bool((result.invariance[30:36, 30:36] == 0).all()), len(result.correlations)
    (True, 3)
    """
    if before.shape[1:] != after.shape[1:] or before.shape[1:] != valid.shape:
        message = f"shapes disagree: {before.shape}, {after.shape}, valid {valid.shape}"
        raise ValueError(message)
    fitted, bands = _fit(before, after, valid, parameters), len(before)
    contrasts = fitted.contrasts
    chi_square, variates = contrast_images(before, after, contrasts, keep=True)
    for plane in (chi_square, *variates):
        with_nan(plane, valid, out=plane)
    return MadResult(
        variates=variates,
        chi_square=chi_square,
        invariance=chi_square_tail(chi_square, len(contrasts.scale)),
        correlations=contrasts.spectrum,
        before_vectors=contrasts.matrix[:, :bands],
        after_vectors=-contrasts.matrix[:, bands:],
        before_mean=contrasts.mean[:bands],
        after_mean=contrasts.mean[bands:],
        iterations=fitted.iterations,
        converged=fitted.converged,
    )


def invariant_pixels(result: MadResult, at_least: float = 0.95) -> NDArray[np.bool_]:
    """Return the pixels that a fit shows to be unaltered.

    They are the pseudo-invariant features by which two dates are brought to one radiometry (Canty and Nielsen
    2008, doi:10.1016/j.rse.2007.07.013). In scenes full of vegetation they may all be of one kind of ground,
    such as water: look at them before a line is put through them.

    Parameters
    ----------
    result : MadResult
        From `irmad`.
    at_least : float
        Least `invariance`, 0 to 1. Ideally 5 % of what stayed as it was exceed 0.95; after rounds of
        weighting it is far less, some 0.4 % of a Landsat scene.

    Returns
    -------
    ndarray of bool, shape (y, x)
        False where not usable.

    Raises
    ------
    ValueError
        When `at_least` does not lie in 0 to 1.
    """
    if not 0 <= at_least <= 1:
        message = f"at_least must lie in 0..1, not {at_least}"
        raise ValueError(message)
    return np.asarray(result.invariance >= np.float32(at_least))


def mad_score(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    parameters: MadParameters = MadParameters(),
) -> NDArray[np.float32]:
    """Score change by the length of the MAD variates, each in standard deviations of unaltered ground.

    The variates, and the papers they come from, are those of `irmad`. The nominal distribution of their
    length is not used: it flags far too much of any real scene.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        As in `predict_score`.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band. Bands of no weight are left out, all others count alike: a combination of bands
        has no weights to respect. In cities fewer bands find more.
    parameters : MadParameters

    Returns
    -------
    ndarray of float32, shape (y, x)
        Unitless, never negative: root mean square of the standardised variates, smoothed. NaN where `valid`
        is False. Swapping before and after leaves it unchanged.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    NoUsableImageryError
        When some pixels are usable, but fewer than 10 for each band of both dates, or one date does not vary.
    """

    def fit(first: NDArray[np.float32], second: NDArray[np.float32]) -> Fitted:
        """Fit the bands that have a weight."""
        return _fit(first, second, valid, parameters)

    return contrast_score((before, after), valid, weights, fit, parameters.smoothing_px)


def canonical_contrasts(moments: Moments, bands: int, ridge: float = 0.0) -> Contrasts:
    """Correlate the first bands with the others, and subtract what correlates best.

    Parameters
    ----------
    moments : Moments
        Of the bands of before and, after them, of those of after.
    bands : int
        How many are of before.
    ridge : float
        As in `MadParameters`.

    Returns
    -------
    Contrasts
        The least correlated pair first, as in the papers; `spectrum` holds the canonical correlations.

    Raises
    ------
    NoUsableImageryError
        When all bands of a date are constant.
    """
    covariance, mean = moments.covariance, moments.mean
    first = whitening(covariance[:bands, :bands], mean[:bands], ridge)
    second = whitening(covariance[bands:, bands:], mean[bands:], ridge)
    left, correlations, right = np.linalg.svd(first.T @ covariance[:bands, bands:] @ second)
    count = len(correlations)
    # the least correlated pair comes first, as it does in the papers
    before = (first @ left[:, :count]).T[::-1]
    after = (second @ right[:count].T).T[::-1]
    # a pair may change its sign; that which correlates with more of the bands is chosen
    deviation = np.sqrt(np.diag(covariance)[:bands])
    correlation = before @ covariance[:bands, :bands] / np.where(deviation > 0, deviation, np.inf)
    sign = np.where(correlation.sum(axis=1) < 0, -1.0, 1.0)[:, None]
    matrix = rounded(np.hstack([sign * before, -sign * after]))
    # 2 (1 - correlation) when there is no ridge
    variance = np.einsum("ci,ij,cj->c", matrix, covariance, matrix)
    scale = rounded(np.sqrt(np.maximum(variance, LEAST_VARIANCE)))
    return Contrasts(rounded(np.minimum(correlations[::-1], 1.0)), matrix, scale, mean)


def _fit(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    parameters: MadParameters,
) -> Fitted:
    bands = len(before)
    return fit_contrasts(
        before,
        after,
        valid,
        lambda moments: canonical_contrasts(moments, bands, parameters.ridge),
        parameters,
    )
