"""How much pixels scatter, each drawn towards what is usual by as much as pixels agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.smoothing import blur_valid

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Variance of logarithms below which pixels count as agreeing.
_LEAST_VARIANCE = 2e-6
#: Pixels that share their speckle after multilooking by 3 x 3.
_SHARED_PX = 9


@dataclass(frozen=True, eq=False)
class Dispersion:
    """Scatter of pixels, each an estimate of its own.

    Attributes
    ----------
    value : ndarray of float32, any shape
        In units of what is expected, so 1 where only that is at work; NaN where unknown.
    degrees : ndarray of float32, same shape
        Degrees of freedom of each estimate.
    """

    value: NDArray[np.float32]
    degrees: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DispersionPrior:
    """What the dispersion of a pixel is before the pixel itself is looked at.

    Attributes
    ----------
    value : ndarray of float32, shape (y, x)
        Usual dispersion round the pixel.
    degrees : float
        How many degrees of freedom of its own a pixel must have to outweigh it; infinite where it is certain.
    """

    value: NDArray[np.float32]
    degrees: float


def fit_prior(found: Dispersion, sigma_px: float = 0.0) -> DispersionPrior:
    """Estimate what dispersion is usual, and how far pixels differ in it beyond chance.

    The empirical Bayes estimate of Smyth 2004 (doi:10.2202/1544-6115.1027): with d degrees of freedom the
    logarithm of a dispersion has the mean ``psi(d/2) - ln(d/2)`` above that of the prior and the variance
    ``psi1(d/2)``; what variance is left is that of the prior. What is usual may differ from field to field:
    then the mean is one of the neighbourhood.

    Parameters
    ----------
    found : Dispersion
        Of the pixels of a scene, shape (y, x).
    sigma_px : float
        Standard deviation of the Gaussian that makes the neighbourhood, in pixels; 0 for the whole scene.

    Returns
    -------
    DispersionPrior
        Of value 1 and certain where no pixel can be used. Of a neighbourhood never more certain than its
        pixels together, of which nine next to each other count as one: they share speckle.

    Examples
    --------
    >>> values = np.random.default_rng(0).chisquare(10, (70, 70)).astype(np.float32) / 10
    >>> prior = fit_prior(Dispersion(values, np.full((70, 70), 10, np.float32)))
    >>> round(float(prior.value.mean()), 1), prior.degrees > 100
    (1.0, True)
    """
    from scipy.special import polygamma, psi

    usable = np.isfinite(found.value) & (found.value > 0) & (found.degrees > 0)
    if not usable.any():
        return DispersionPrior(np.ones_like(found.value), np.inf)
    half = found.degrees[usable].astype(np.float64) / 2
    # degrees are numbers of dates: few different ones
    each, place = np.unique(half, return_inverse=True)
    logs = np.log(found.value[usable]) + (np.log(each) - psi(each))[place]
    centre = float(logs.mean())
    usual = np.full(found.value.shape, centre, np.float32)
    if sigma_px > 0:
        above = np.zeros_like(usual)
        above[usable] = logs - centre
        usual += blur_valid(above, usable, sigma_px)
    left = float(np.mean((logs - usual[usable]) ** 2) - polygamma(1, each)[place].mean())
    most = np.inf if sigma_px == 0 else float(2 * half.mean() * 4 * np.pi * sigma_px**2 / _SHARED_PX)
    degrees = min(2 * inverse_trigamma(left) if left > _LEAST_VARIANCE else np.inf, most)
    bias = 0.0 if np.isinf(degrees) else float(psi(degrees / 2) - np.log(degrees / 2))
    return DispersionPrior(np.exp(usual + np.float32(bias)), degrees)


def inverse_trigamma(value: float) -> float:
    """Return the argument at which the trigamma function has a value.

    Parameters
    ----------
    value : float
        Positive.

    Returns
    -------
    float

    Examples
    --------
    >>> round(inverse_trigamma(np.pi**2 / 6), 9)
    1.0
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma

    # trigamma(x) lies between 1/x and 1/x + 1/x^2
    least, most = 0.5 / value, 1 / value + 1 / np.sqrt(value) + 1
    return float(brentq(lambda x: float(polygamma(1, x)) - value, least, most, xtol=1e-12, rtol=1e-14))


def moderated(
    found: Dispersion, prior: DispersionPrior, least: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the dispersion of each pixel towards the prior.

    Parameters
    ----------
    found : Dispersion
        Of the pixels; unknown ones get the prior.
    prior : DispersionPrior
    least : float
        No dispersion is taken to be less: what is expected is there in any case.

    Returns
    -------
    value : ndarray of float32
        ``(d0 v0 + d v) / (d0 + d)``, or `least`.
    degrees : ndarray of float32
        Degrees of freedom of that, ``d0 + d``.
    """
    if np.isinf(prior.degrees):
        return np.maximum(prior.value, np.float32(least)), np.full(prior.value.shape, np.inf, np.float32)
    known = np.isfinite(found.value) & (found.degrees > 0)
    own = np.where(known, found.degrees, np.float32(0))
    value = np.where(known, found.value, np.float32(0))
    degrees = own + np.float32(prior.degrees)
    drawn = (np.float32(prior.degrees) * prior.value + own * value) / degrees
    return np.maximum(drawn, np.float32(least)), degrees
