"""Iterated slow feature analysis from the equations of the paper, one pixel after the other.

Wu, Du and Zhang 2014, doi:10.1109/TGRS.2013.2266673. Bands must be linearly independent.
"""

import numpy as np
from scipy.linalg import eigh
from scipy.stats import chi2


def standardised(pixels, weights):
    """Each band with weighted mean 0 and variance 1."""
    mean = np.average(pixels, axis=0, weights=weights)
    return (pixels - mean) / np.sqrt(np.average((pixels - mean) ** 2, axis=0, weights=weights))


def isfa(before, after, iterations, tolerance=1e-3):
    """Statistic (y, x), eigenvalues and rounds."""
    raw = [image.reshape(len(image), -1).T.astype(np.float64) for image in (before, after)]
    weights, previous, made = np.ones(len(raw[0])), None, 0
    while True:
        x, y = (standardised(pixels, weights) for pixels in raw)
        share = weights / weights.sum()
        difference = sum(w * np.outer(p - q, p - q) for p, q, w in zip(x, y, share, strict=True))
        same = sum(w * (np.outer(p, p) + np.outer(q, q)) / 2 for p, q, w in zip(x, y, share, strict=True))
        slowness, features = eigh(difference, same)
        squared = [((features.T @ (p - q)) ** 2 / slowness).sum() for p, q in zip(x, y, strict=True)]
        weights = chi2.sf(squared, len(slowness))
        if made == iterations or (made and np.abs(slowness - previous).max() < tolerance):
            break
        previous, made = slowness, made + 1
    return np.reshape(squared, before.shape[1:]), slowness, made
