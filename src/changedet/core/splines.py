"""Uniform cubic B-splines over the pixels of an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import BSpline

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    Array = NDArray[np.float64]


def basis(positions: Array, intervals: int, length: int) -> sparse.csr_array:
    """Evaluate the splines over pixels 0 to length - 1.

    Parameters
    ----------
    positions : ndarray of float64, shape (n,)
        In pixels; those beyond an end count as the end.
    intervals : int
        Polynomial pieces over the axis.
    length : int
        Pixels of the axis.

    Returns
    -------
    scipy.sparse.csr_array of float64, shape (n, intervals + 3)
        Four values that add up to 1 for each position.

    Examples
    --------
    >>> basis(np.array([0.0, 5.0]), 2, 11).toarray().round(2).tolist()
    [[0.17, 0.67, 0.17, 0.0, 0.0], [0.0, 0.17, 0.67, 0.17, 0.0]]
    """
    step = max(length - 1, 1) / intervals
    knots = np.arange(-3, intervals + 4) * step
    inside = np.clip(positions, 0, (length - 1) * (1 - 1e-12))
    return BSpline.design_matrix(inside, knots, 3)


def support(size: int) -> Array:
    """Tell where each of the splines over an axis of length 1 begins and ends.

    Parameters
    ----------
    size : int
        How many there are: intervals + 3.

    Returns
    -------
    ndarray of float64, shape (2, size)
        First and last positions.
    """
    intervals = size - 3
    return np.stack([np.arange(-3, size - 3), np.arange(1, size + 1)]) / intervals


def roughness(size: int) -> Array:
    """Return the matrix that gives the sum of the squared second differences of coefficients.

    Parameters
    ----------
    size : int
        Number of coefficients.

    Returns
    -------
    ndarray of float64, shape (size, size)
        Eilers and Marx 1996, doi:10.1214/ss/1038425655.

    Examples
    --------
    >>> line = np.arange(6.0)
    >>> float(line @ roughness(6) @ line), float(line**2 @ roughness(6) @ line**2)
    (0.0, 16.0)
    """
    second = np.diff(np.eye(size), 2, axis=0)
    return np.asarray(second.T @ second)
