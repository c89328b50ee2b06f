"""Distributions near chi-square, as those of likelihood ratios are, and their tails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Values that a table is worth it for.
_MANY = 1024
#: Steps of a table for each unit of the root of the statistic, and how far it goes beyond the expectation.
_STEPS, _REACH = 1024, 14.0


@dataclass(frozen=True)
class Expansion:
    """A distribution near chi-square, after Box 1949 (doi:10.1093/biomet/36.3-4.317).

        share of values above z = S(z; f) + omega [ S(z; f + 4) - S(z; f) ]

    with S the upper tail of chi-square, and z the statistic times rho.

    Attributes
    ----------
    degrees : float
        Degrees of freedom, f.
    rho : float
        What the statistic is multiplied by.
    omega : float
        Weight of the second term.
    """

    degrees: float
    rho: float
    omega: float

    @classmethod
    def of_series(cls, dates: int, pols: int, looks: float) -> Expansion:
        """Return the distribution of -2 ln Q.

        Parameters
        ----------
        dates : int
            At least 2.
        pols : int
            Polarisations.
        looks : float
            Of one date.

        Returns
        -------
        Expansion
        """
        return cls._of(pols * (dates - 1), (dates - 1 / dates) / (6 * looks * (dates - 1)))

    @classmethod
    def of_date(cls, date: int, pols: int, looks: float) -> Expansion:
        """Return the distribution of -2 ln R_j.

        Parameters
        ----------
        date : int
            j, from 2.
        pols : int
            Polarisations.
        looks : float
            Of one date.

        Returns
        -------
        Expansion
        """
        return cls._of(pols, (1 + 1 / (date * (date - 1))) / (6 * looks))

    @classmethod
    def _of(cls, degrees: float, correction: float) -> Expansion:
        # of a look or less the expansion does not hold; it must not turn round
        rho = max(1 - correction, 0.1)
        return cls(degrees, rho, -degrees / 4 * (1 - 1 / rho) ** 2)

    def tail(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of values above some.

        Parameters
        ----------
        scaled : ndarray of float64
            Statistics, times `rho`.

        Returns
        -------
        ndarray of float64
            0 to 1.
        """
        from scipy.special import chdtrc, gammaln

        plain = chdtrc(self.degrees, scaled)
        # S(z; f + 4) is S(z; f) and two terms more
        half, order = scaled / 2, self.degrees / 2
        term = np.exp(order * np.log(np.maximum(half, 1e-300)) - half - gammaln(order + 1))
        second = term * (1 + half / (order + 1))
        return np.asarray(np.clip(plain + self.omega * second, 0, 1))

    def critical(self, share: float) -> float:
        """Return the value that a share lies above.

        Parameters
        ----------
        share : float
            Between 0 and 1.

        Returns
        -------
        float
            In the scale of the statistic times `rho`.
        """
        from scipy.optimize import brentq
        from scipy.special import chdtri

        most = float(chdtri(self.degrees + 4, share)) * 2 + 50

        def excess(value: float) -> float:
            """Return by how much the expectation exceeds what was measured."""
            return float(self.tail(np.array([value]))[0]) - share

        return float(brentq(excess, 0.0, most, xtol=1e-10))


class TabledTail:
    """The upper tail of an expansion, of many values from a table of its logarithm.

    Parameters
    ----------
    expansion : Expansion

    Examples
    --------
    >>> expansion = Expansion.of_series(12, 2, 22)
    >>> values = np.linspace(0, 60, 5000)
    >>> bool(np.abs(TabledTail(expansion)(values) - expansion.tail(values)).max() < 1e-6)
    True
    """

    def __init__(self, expansion: Expansion) -> None:
        self._expansion = expansion
        self._end = float(np.sqrt(expansion.degrees) + _REACH)

    def __call__(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of values above some.

        Parameters
        ----------
        scaled : ndarray of float64, shape (pixel,)
            Not negative, without NaN.

        Returns
        -------
        ndarray of float64
            Within a millionth of `Expansion.tail`; of the share itself where that lies above 1e-12.
        """
        if scaled.size < _MANY:
            return self._expansion.tail(scaled)
        # over the root of the statistic the logarithm bends alike everywhere, so that lines do
        place = np.sqrt(scaled)
        far = place >= self._end
        place *= _STEPS
        np.minimum(place, self._end * _STEPS, out=place)
        index = place.astype(np.intp)
        place -= index
        start, rise = self._table
        found: NDArray[np.float64] = rise.take(index)
        found *= place
        found += start.take(index)
        np.exp(found, out=found)
        if far.any():
            found[far] = self._expansion.tail(scaled[far])
        return found

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithms of the tail, and what each step adds."""
        roots = np.arange(int(self._end * _STEPS) + 3) / _STEPS
        logs = np.log(np.maximum(self._expansion.tail(roots**2), 1e-300))
        return logs[:-1], np.diff(logs)
