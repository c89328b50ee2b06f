"""IR-MAD from the equations of the papers: a generalised eigenproblem, and one pixel after the other.

Nielsen, Conradsen and Simpson 1998, doi:10.1016/S0034-4257(97)00162-4; Nielsen 2007,
doi:10.1109/TIP.2006.888195. Bands must be linearly independent.
"""

import numpy as np
from scipy.linalg import eigh
from scipy.stats import chi2


def canonical(x, y, weights):
    """Vectors a and b (one a column), the least correlated pair first, correlations and means."""
    weights = weights / weights.sum()
    mean_x, mean_y = weights @ x, weights @ y
    x, y = x - mean_x, y - mean_y
    s11, s22, s12 = (x.T * weights) @ x, (y.T * weights) @ y, (x.T * weights) @ y
    squared, a = eigh(s12 @ np.linalg.inv(s22) @ s12.T, s11)
    b = np.linalg.inv(s22) @ s12.T @ a
    for i in range(a.shape[1]):
        a[:, i] /= np.sqrt(a[:, i] @ s11 @ a[:, i])
        b[:, i] /= np.sqrt(b[:, i] @ s22 @ b[:, i])
    return a, b, np.sqrt(squared), mean_x, mean_y


def irmad(before, after, iterations, tolerance=1e-3):
    """Variates (y, x, variate), chi-square (y, x), its upper tail, correlations and rounds."""
    shape = before.shape[1:]
    x, y = (image.reshape(len(image), -1).T.astype(np.float64) for image in (before, after))
    weights, previous, made = np.ones(len(x)), None, 0
    while True:
        a, b, correlations, mean_x, mean_y = canonical(x, y, weights)
        variates = np.array([a.T @ (p - mean_x) - b.T @ (q - mean_y) for p, q in zip(x, y, strict=True)])
        statistic = np.array([(m**2 / (2 * (1 - correlations))).sum() for m in variates])
        weights = chi2.sf(statistic, len(correlations))
        if made == iterations or (made and np.abs(correlations - previous).max() < tolerance):
            break
        previous, made = correlations, made + 1
    return variates.reshape(*shape, -1), statistic.reshape(shape), weights.reshape(shape), correlations, made
