"""What is measured of alteration detection: ours, the textbook in float64 on whole arrays, and SciPy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from benchmarks import inputs
from scipy.linalg import eigh
from scipy.stats import chi2

from changedet.core.chi_square import chi_square_tail
from changedet.core.covariance import weighted_moments
from changedet.core.mad import IrMadParameters, canonical_contrasts, irmad
from changedet.core.reweighting import fit_contrasts

BANDS = 6


@lru_cache(maxsize=1)
def pair(size):
    """Before and after in six bands: other light, noise, and patches of change; everything usable."""
    before, *_ = inputs.dates(size)
    rng = np.random.default_rng(size)
    before = np.ascontiguousarray(before[:BANDS])
    after = before * np.float32(0.8) + np.float32(0.02)
    after += rng.normal(0, 0.006, before.shape).astype(np.float32)
    for _ in range(size // 16):
        row, column = rng.integers(0, size - 12, 2)
        after[:, row : row + 10, column : column + 12] += rng.normal(0, 0.1, (BANDS, 1, 1)).astype(np.float32)
    return before, after, np.ones((size, size), bool)


def weighted(size):
    """Before, after, and a weight of each pixel."""
    before, after, valid = pair(size)
    return before, after, np.random.default_rng(size).random(valid.shape, np.float32)


def statistic(size):
    """What a pair without change gives, of as many degrees of freedom as there are bands."""
    return (np.random.default_rng(size).chisquare(BANDS, (size, size)).astype(np.float32),)


def moments(before, after, weight):
    """Mean and covariance as one array."""
    found = weighted_moments((before, after), weight=weight)
    return np.vstack([found.mean, found.covariance])


def moments_numpy(before, after, weight):
    """Mean and covariance of all bands by NumPy."""
    both = np.concatenate([before, after]).reshape(2 * BANDS, -1).astype(np.float64)
    weights = weight.ravel().astype(np.float64)
    covariance = np.cov(both, aweights=weights, ddof=0)
    return np.vstack([np.average(both, axis=1, weights=weights), covariance])


def tail(values):
    """Our tail."""
    return chi_square_tail(values, BANDS)


def tail_scipy(values):
    """The tail of SciPy's distribution."""
    return chi2.sf(values, BANDS)


def round_ours(before, after, valid):
    """One fit, weights, and the second fit, on every pixel; correlations of both dates."""
    parameters = IrMadParameters(iterations=1, sample=0)
    fitted = fit_contrasts(before, after, valid, lambda m: canonical_contrasts(m, BANDS), parameters)
    return fitted.contrasts.spectrum


def _textbook(x, y, weights):
    covariance = np.cov(np.vstack([x, y]), aweights=weights, ddof=0)
    s11, s12, s22 = covariance[:BANDS, :BANDS], covariance[:BANDS, BANDS:], covariance[BANDS:, BANDS:]
    squared, a = eigh(s12 @ np.linalg.inv(s22) @ s12.T, s11)
    b = np.linalg.inv(s22) @ s12.T @ a
    b /= np.sqrt(np.diag(b.T @ s22 @ b))
    centred = [v - np.average(v, axis=1, weights=weights)[:, None] for v in (x, y)]
    variates = a.T @ centred[0] - b.T @ centred[1]
    return np.sqrt(squared), (variates**2 / (2 - 2 * np.sqrt(squared))[:, None]).sum(axis=0)


def round_textbook(before, after, _):
    """The same in float64, with the statistic and the weights as images."""
    x, y = (image.reshape(BANDS, -1).astype(np.float64) for image in (before, after))
    _, chi_square = _textbook(x, y, np.ones(x.shape[1]))
    return _textbook(x, y, chi2.sf(chi_square, BANDS))[0]


def mad_ours(before, after, valid):
    """One fit on every pixel: the statistic."""
    return irmad(before, after, valid, IrMadParameters(iterations=0, sample=0)).chi_square


def mad_textbook(before, after, _):
    """The same in float64."""
    x, y = (image.reshape(BANDS, -1).astype(np.float64) for image in (before, after))
    return _textbook(x, y, np.ones(x.shape[1]))[1].reshape(before.shape[1:])


def irmad_ours(before, after, valid):
    """Rounds on a sample, then the whole image: the statistic."""
    return irmad(before, after, valid).chi_square


def irmad_textbook(before, after, _):
    """All rounds on every pixel in float64: the statistic."""
    x, y = (image.reshape(BANDS, -1).astype(np.float64) for image in (before, after))
    weights, previous = np.ones(x.shape[1]), np.zeros(BANDS)
    for _ in range(51):
        correlations, chi_square = _textbook(x, y, weights)
        if np.abs(correlations - previous).max() < 1e-3:
            break
        weights, previous = chi2.sf(chi_square, BANDS), correlations
    return chi_square.reshape(before.shape[1:])


def close(relative, absolute=0.0):
    """Return a comparison within a tolerance."""

    def agree(ours, other):
        np.testing.assert_allclose(ours, other, rtol=relative, atol=absolute)

    return agree


def same_moments(ours, other):
    """Means and covariances to a millionth of the standard deviations."""
    deviation = np.sqrt(np.diag(other[1:]))
    assert np.abs((ours[0] - other[0]) / deviation).max() < 1e-6
    assert np.abs((ours[1:] - other[1:]) / np.outer(deviation, deviation)).max() < 1e-6


def same_statistic(ours, other):
    """Statistics fitted to a sample and to every pixel: 99 % of their roots differ by less than a tenth."""
    difference = np.abs(np.sqrt(ours) / np.sqrt(other) - 1)
    assert np.quantile(difference, 0.99) < 0.1
