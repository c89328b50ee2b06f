"""The upper tail of the chi-square distribution, for every pixel of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS, row_blocks, run_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.sampling import Floating

# beyond, a power of half the statistic could exceed float32 before the exponential takes it down
_MOST_DEGREES_IN_CLOSED_FORM = 40
# half the statistic from which the tail counts as 0: below 1e-60 for every number of degrees above
_FAR = 250.0


def chi_square_tail(
    statistic: NDArray[Floating], degrees: float, *, threads: int = THREADS
) -> NDArray[Floating]:
    """Return the upper tail of the chi-square distribution: one less its distribution function.

    Of a statistic with `degrees` degrees of freedom, this is the share of its values that lie above the one
    given. With an even number of degrees it is a polynomial times an exponential, which is what is computed,

        Q(x; 2m) = exp(-x/2) sum_{j<m} (x/2)^j / j!

    (Abramowitz and Stegun 1964, 26.4.5); else, and beyond 40 degrees, SciPy's incomplete gamma function.

    Parameters
    ----------
    statistic : ndarray of float32 or float64, any shape
        Not negative; NaN stays NaN.
    degrees : float
        Degrees of freedom, positive.
    threads : int
        How many work at a time; the result does not depend on it.

    Returns
    -------
    ndarray of the same dtype and shape
        Between 0 and 1. Of float32 the error is below 1e-6, and that of small values below 1e-5 of them.

    Raises
    ------
    ValueError
        When `degrees` is not positive.

    Examples
    --------
    >>> chi_square_tail(np.array([0.0, 5.348, 12.592, np.nan]), 6).round(3).tolist()
    [1.0, 0.5, 0.05, nan]
    """
    if not degrees > 0:
        message = f"degrees of freedom must be positive, not {degrees}"
        raise ValueError(message)
    flat = np.ascontiguousarray(statistic).reshape(-1)
    out = np.empty_like(flat)
    closed = float(degrees).is_integer() and degrees % 2 == 0 and degrees <= _MOST_DEGREES_IN_CLOSED_FORM

    def tail(block: slice) -> None:
        """Fill one block."""
        if closed:
            out[block] = _polynomial_tail(flat[block], int(degrees) // 2)
        else:
            out[block] = _gamma_tail(flat[block], degrees)

    planes = 3 * flat.itemsize // 4
    run_blocks(tail, row_blocks((flat.size, 1), planes), threads)
    return out.reshape(statistic.shape)


def _polynomial_tail(statistic: NDArray[Floating], terms: int) -> NDArray[Floating]:
    """Horner's rule on the sum, then the exponential."""
    half = np.minimum(statistic * statistic.dtype.type(0.5), statistic.dtype.type(_FAR))
    # of the first step no more than this is left
    total: NDArray[Floating] = half * statistic.dtype.type(0 if terms == 1 else 1 / (terms - 1))
    total += 1
    scratch = np.empty_like(half)
    for j in range(terms - 2, 0, -1):
        np.multiply(half, statistic.dtype.type(1 / j), out=scratch)
        total *= scratch
        total += 1
    np.negative(half, out=half)
    np.exp(half, out=half)
    total *= half
    return total


def _gamma_tail(statistic: NDArray[Floating], degrees: float) -> NDArray[Floating]:
    from scipy.special import gammaincc

    tail = statistic * statistic.dtype.type(0.5)
    gammaincc(statistic.dtype.type(degrees / 2), tail, out=tail)
    return tail
