"""How many of the flagged pixels may be flagged by chance: control of the false discovery rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DiscoveryParameters:
    """Parameters of `false_discoveries`.

    Attributes
    ----------
    rate : float
        Largest share of the flagged pixels that may, on average, be there by chance.
    dependence : {"positive", "any"}
        Whether neighbours that err, err alike, as after multilooking (Benjamini and Hochberg), or nothing is
        known of how errors go together (Benjamini and Yekutieli), which flags fewer.
    """

    rate: float = 0.01
    dependence: Literal["positive", "any"] = "positive"

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1 or self.dependence not in ("positive", "any"):
            message = (
                f"a rate of {self.rate} and dependence {self.dependence!r}: give a rate between 0 and 1 and "
                "'positive' or 'any'"
            )
            raise ValueError(message)


def discovery_threshold(
    p_value: NDArray[np.float32], parameters: DiscoveryParameters = DiscoveryParameters()
) -> float:
    """Return the largest p-value that is flagged when false discoveries over a site are kept to a rate.

    Of N pixels, the largest p-value of rank k with ``p <= rate k / (N c)``; c is 1 (Benjamini and Hochberg
    1995, doi:10.1111/j.2517-6161.1995.tb02031.x), or the sum of 1/i up to N (Benjamini and Yekutieli 2001,
    doi:10.1214/aos/1013699998). Where nothing happened, one site in 1 / rate has any flagged pixel.

    Parameters
    ----------
    p_value : ndarray of float32, any shape
        NaN = not judged.
    parameters : DiscoveryParameters

    Returns
    -------
    float
        0 when nothing may be flagged, also where nothing was judged; a p-value of 0 is flagged even then.

    Examples
    --------
    >>> p_value = np.array([0.001, 0.015, 0.5, 0.9, np.nan], np.float32)
    >>> round(discovery_threshold(p_value, DiscoveryParameters(rate=0.05)), 3)
    0.015
    """
    judged = np.sort(p_value[np.isfinite(p_value)], axis=None).astype(np.float64)
    if judged.size == 0:
        return 0.0
    ranks = np.arange(1, judged.size + 1)
    penalty = np.sum(1 / ranks) if parameters.dependence == "any" else 1.0
    passed = np.flatnonzero(judged <= parameters.rate * ranks / (judged.size * penalty))
    return float(judged[passed[-1]]) if passed.size else 0.0


def false_discoveries(
    p_value: NDArray[np.float32], parameters: DiscoveryParameters = DiscoveryParameters()
) -> NDArray[np.bool_]:
    """Flag pixels so that false discoveries over a site are kept to a rate.

    Parameters
    ----------
    p_value : ndarray of float32, any shape
        NaN = not judged.
    parameters : DiscoveryParameters

    Returns
    -------
    ndarray of bool, same shape
        False where not judged.
    """
    return np.asarray(p_value <= np.float32(discovery_threshold(p_value, parameters)))


@dataclass(frozen=True)
class RadarDecision:
    """Parameters of `flag_change`.

    Attributes
    ----------
    discoveries : DiscoveryParameters
        Of the p-values over the site.
    least_change_db : float
        Mean change over the polarisations, up or down, that a pixel must reach besides. What is significant
        need not matter: fields and moisture differ between years by 1 to 3 dB, a new building by more.
    """

    discoveries: DiscoveryParameters = DiscoveryParameters()
    least_change_db: float = 3.5

    def __post_init__(self) -> None:
        if not self.least_change_db >= 0:
            message = f"least_change_db must not be negative, but it is {self.least_change_db}"
            raise ValueError(message)


def flag_change(
    p_value: NDArray[np.float32], change_db: NDArray[np.float32], decision: RadarDecision = RadarDecision()
) -> NDArray[np.bool_]:
    """Flag what is beyond chance and large enough to matter.

    Parameters
    ----------
    p_value : ndarray of float32, shape (y, x)
        As from a test of two periods; NaN = not judged.
    change_db : ndarray of float32, shape (pol, y, x)
        After less before, in decibels.
    decision : RadarDecision

    Returns
    -------
    ndarray of bool, shape (y, x)
        Candidates. False where not judged.

    Raises
    ------
    ValueError
        When the shapes disagree.
    """
    if change_db.shape[1:] != p_value.shape:
        message = f"change of shape {change_db.shape} does not fit p-values of shape {p_value.shape}"
        raise ValueError(message)
    large = np.abs(change_db.mean(axis=0)) >= np.float32(decision.least_change_db)
    return np.asarray(false_discoveries(p_value, decision.discoveries) & large)
