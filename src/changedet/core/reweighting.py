"""Contrasts of two dates that are fitted again and again to what they leave unaltered."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import row_blocks, run_blocks
from changedet.core.chi_square import chi_square_tail
from changedet.core.covariance import Moments, weighted_moments
from changedet.core.parameters import Described
from changedet.core.planes import by_rows, chosen_bands, new_plane, relieve
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import check_pair
from changedet.core.smoothing import smooth_score
from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from changedet.core.sampling import Floating

#: Least number of pixels for each band of both dates together, in a fit.
PIXELS_PER_BAND = 10
#: Least variance of a contrast, where the whole of a date has 1: below it is the rounding of float32.
LEAST_VARIANCE = 1e-8
#: A band that varies less than this share of its mean is taken as constant.
CONSTANT = 1e-6
# a combination of bands whose share of the variance is smaller is taken as a repetition of others
_COLLINEAR = 1e-7
# the last digits of a fit depend on the processor; results must not
_DIGITS = 9


@dataclass(frozen=True)
class ReweightingParameters(Described):
    """What fits with repeated weighting have in common.

    Attributes
    ----------
    iterations : int
        Most rounds of weighting after the first fit; 0 for none.
    tolerance : float
        The rounds end when no correlation, or no eigenvalue, changes by more.
    sample : int
        Largest number of pixels in the fit; 0 for every pixel.
    seed : int
        Seed of that sample.
    smoothing_px : tuple of float
        As in `PredictParameters`.
    """

    iterations: int = 0
    tolerance: float = 1e-3
    sample: int = 50_000
    seed: int = 0
    smoothing_px: tuple[float, ...] = (1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.sample < 0 or not self.tolerance > 0:
            message = "iterations and sample must not be negative, and the tolerance must be positive"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Linear contrasts of two dates that are near 0 where nothing was altered.

    Attributes
    ----------
    spectrum : ndarray of float64, shape (contrast,)
        What tells how well each contrast cancels; its change ends the rounds.
    matrix : ndarray of float64, shape (contrast, band)
        Coefficients of the bands of before and, after them, of those of after.
    scale : ndarray of float64, shape (contrast,)
        Standard deviation of each contrast where nothing was altered.
    mean : ndarray of float64, shape (band,)
        What is taken off the bands first.
    """

    spectrum: NDArray[np.float64]
    matrix: NDArray[np.float64]
    scale: NDArray[np.float64]
    mean: NDArray[np.float64]

    @property
    def scaled(self) -> NDArray[np.float64]:
        """Coefficients of contrasts of variance 1."""
        return self.matrix / self.scale[:, None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The outcome of `fit_contrasts`.

    Attributes
    ----------
    contrasts : Contrasts
    iterations : int
        Rounds of weighting that were made.
    converged : bool
        Whether the last round changed less than the tolerance; True also when none was asked for.
    """

    contrasts: Contrasts
    iterations: int
    converged: bool


def fit_contrasts(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    solve: Callable[[Moments], Contrasts],
    parameters: ReweightingParameters,
) -> Fitted:
    """Fit contrasts, weigh every pixel by how unaltered they show it to be, and fit again.

    The weight is the upper tail of the chi-square distribution at the sum of the squared contrasts, each
    divided by its variance: 1 for a pixel in which all are 0.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        On one grid; not necessarily the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    solve : callable
        From the moments of the bands of both dates to contrasts.
    parameters : ReweightingParameters

    Returns
    -------
    Fitted
        Where rounds leave less weight than `PIXELS_PER_BAND` pixels for each band, the last fit before that.

    Raises
    ------
    NoUsableImageryError
        When there are fewer usable pixels than that from the start, or one of the dates does not vary.
    """
    bands = len(before) + len(after)
    count, least = int(np.count_nonzero(valid)), PIXELS_PER_BAND * bands
    if count < least:
        raise NoUsableImageryError(
            f"{count} usable pixels are too few for {bands} bands of both dates; {least} are needed",
            todo="take a larger area, fewer bands, or the detector cva",
        )

    def moments_under(weighing: Contrasts | None) -> Moments:
        """Return moments in which contrasts weigh the pixels."""
        weigh = None if weighing is None else _weigher(weighing)
        if parameters.sample:
            return weighted_moments(sample, weigh=weigh)
        return weighted_moments((before, after), None if count == valid.size else valid, weigh=weigh)

    sample: Sequence[NDArray[np.float64]] = ()
    if parameters.sample:
        sample = sample_pixels((before, after), valid, max(parameters.sample, least), parameters.seed)
    contrasts = solve(moments_under(None))
    for iteration in range(1, parameters.iterations + 1):
        moments = moments_under(contrasts)
        if moments.weight < least:
            return Fitted(contrasts, iteration - 1, converged=False)
        renewed = solve(moments)
        settled = _change(contrasts.spectrum, renewed.spectrum) < parameters.tolerance
        contrasts = renewed
        if settled:
            return Fitted(contrasts, iteration, converged=True)
    return Fitted(contrasts, parameters.iterations, converged=not parameters.iterations)


def contrast_images(
    before: NDArray[np.float32], after: NDArray[np.float32], contrasts: Contrasts, *, keep: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sum of squared contrasts of every pixel, each divided by its variance.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Pixels that are not usable give numbers without a meaning, or NaN.
    contrasts : Contrasts
    keep : bool
        Whether the contrasts themselves are wanted.

    Returns
    -------
    chi_square : ndarray of float32, shape (y, x)
        Not negative.
    images : ndarray of float32, shape (contrast, y, x)
        The contrasts, not divided; no contrast where they are not wanted.
    """
    flat = tuple(image.reshape(len(image), -1) for image in (before, after))
    pixels, count = flat[0].shape[1], len(contrasts.scale)
    found_at = new_plane(before.shape[1:], np.float32)
    kept_at = new_plane((count if keep else 0, *before.shape[1:]), np.float32)
    chi_square, images = found_at.reshape(-1), kept_at.reshape(len(kept_at), pixels)
    matrices = np.split(contrasts.scaled.astype(np.float32), [len(before)], axis=1)
    means = np.split(contrasts.mean.astype(np.float32)[:, None], [len(before)])
    scale = contrasts.scale.astype(np.float32)[:, None]

    def contrast(block: slice) -> None:
        """Fill one block."""
        # pixels that are not usable may hold anything
        with np.errstate(invalid="ignore", over="ignore"):
            # einsum, not a BLAS product, whose last digits depend on the processor
            found = np.einsum("cb,bp->cp", matrices[0], flat[0][:, block] - means[0])
            found += np.einsum("cb,bp->cp", matrices[1], flat[1][:, block] - means[1])
            np.einsum("cp,cp->p", found, found, out=chi_square[block])
            if keep:
                np.multiply(found, scale, out=images[:, block])
        relieve()

    run_blocks(contrast, row_blocks((pixels, 1), max(len(before), len(after)) + 2 * count))
    return found_at, kept_at


def contrast_score(
    images: tuple[NDArray[np.float32], NDArray[np.float32]],
    valid: NDArray[np.bool_],
    weights: tuple[float, ...],
    fit: Callable[[NDArray[np.float32], NDArray[np.float32]], Fitted],
    smoothing_px: tuple[float, ...],
) -> NDArray[np.float32]:
    """Score change by the length of contrasts, each in standard deviations.

    Parameters
    ----------
    images : tuple of two ndarrays of float32, shape (band, y, x)
        Before and after, the same bands.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    weights : tuple of float
        One for each band. Bands of no weight are left out, all others count alike.
    fit : callable
        From the bands that are left to contrasts.
    smoothing_px : tuple of float
        As in `smooth_score`.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Root mean square of the standardised contrasts, smoothed; NaN where `valid` is False.

    Raises
    ------
    ValueError
        When shapes or the number of weights disagree.
    NoUsableImageryError
        When some pixels are usable, but too few for `fit`.
    """
    check_pair(*images, valid, weights)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    before, after = (weighted_bands(image, weights) for image in images)
    contrasts = fit(before, after).contrasts
    chi_square, _ = contrast_images(before, after, contrasts)
    count = np.float32(len(contrasts.scale))
    length = by_rows(lambda part: np.sqrt(part / count), chi_square, dtype=np.float32, out=chi_square)
    return smooth_score(length, valid, smoothing_px)


def weighted_bands(image: NDArray[np.float32], weights: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the bands whose weight is not 0; the image itself when all have one.

    Parameters
    ----------
    image : ndarray of float32, shape (band, y, x)
    weights : tuple of float
        One for each band.

    Returns
    -------
    ndarray of float32, shape (fewer bands, y, x)
    """
    return chosen_bands(image, [band for band, weight in enumerate(weights) if weight > 0])


def whitening(
    covariance: NDArray[np.float64], mean: NDArray[np.float64], ridge: float = 0.0
) -> NDArray[np.float64]:
    """Return combinations of bands that are uncorrelated and have variance 1.

    Constant bands are left out, and as many combinations as are missing from the rank.

    Parameters
    ----------
    covariance : ndarray of float64, shape (band, band)
    mean : ndarray of float64, shape (band,)
        What tells a constant band from one in small units.
    ridge : float
        Share of its own variance that every band gets on top first.

    Returns
    -------
    ndarray of float64, shape (band, combination)

    Raises
    ------
    NoUsableImageryError
        When all bands are constant.
    """
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
    varies = deviation > CONSTANT * np.abs(mean)
    if not varies.any():
        raise NoUsableImageryError(
            "one of the dates is the same everywhere", todo="look at the image, or choose another date"
        )
    inverse = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    correlation = covariance * np.outer(inverse, inverse)
    correlation += ridge * np.diag(varies.astype(np.float64))
    values, vectors = np.linalg.eigh(correlation)
    kept = values > _COLLINEAR * values[-1]
    return np.asarray(inverse[:, None] * vectors[:, kept] / np.sqrt(values[kept]))


def rounded(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers with the digits that do not depend on the processor, as seen from the largest.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n,) or (n, column)
        Columns are rounded each for itself.

    Returns
    -------
    ndarray of float64, of the same shape

    Examples
    --------
    >>> rounded(np.array([20.0 / 3, 1e-9 / 3])).tolist()
    [6.666666667, 0.0]
    """
    largest = np.abs(numbers).max(axis=0, initial=1e-300)
    unit = 10.0 ** np.floor(np.log10(largest))
    return np.asarray(np.round(numbers / unit, _DIGITS) * unit)


def _weigher(contrasts: Contrasts) -> Callable[[NDArray[Floating], NDArray[np.float64]], NDArray[Floating]]:
    """Return what weighs the pixels of a block under contrasts."""
    matrix, own = contrasts.scaled, threading.local()

    def weigh(pixels: NDArray[Floating], centre: NDArray[np.float64]) -> NDArray[Floating]:
        """Return the weight of each pixel of a block."""
        offset = (matrix @ (centre - contrasts.mean)).astype(pixels.dtype)
        # a buffer for each thread: to ask for one at every block costs more than to fill it
        space: NDArray[Floating] | None = getattr(own, "space", None)
        if space is None or len(space) < len(pixels):
            own.space = space = np.empty((len(pixels), len(matrix), pixels.shape[2]), pixels.dtype)
        found = np.matmul(matrix.astype(pixels.dtype), pixels, out=space[: len(pixels)])
        found += offset[:, None]
        found *= found
        return chi_square_tail(found.sum(axis=1), len(matrix), threads=1)

    return weigh


def _change(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    return float(np.abs(new - old).max()) if len(old) == len(new) else float("inf")
