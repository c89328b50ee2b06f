"""What the season makes of each pixel of a series, and what is left when it is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.medians import median_of_dates

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length of a year, in days.
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class SeasonParameters:
    """Parameters of `season_residual`.

    Attributes
    ----------
    harmonics : int
        Waves a year; 0 for a level only.
    shrink_dates : float
        How many dates without a season are believed beside those that were seen: few dates hardly show one.
    clip : float
        Residuals count no more than this many standard deviations, so that an episode is not taken for the
        season.
    least_years : float
        Series that are shorter get a level only: in them, season and change cannot be told apart.
    rounds : int
        Of the fit. Each brings it nearer by the share of dates that see the pixel.
    """

    harmonics: int = 1
    shrink_dates: float = 5.0
    clip: float = 2.0
    least_years: float = 2.0
    rounds: int = 20

    def __post_init__(self) -> None:
        if self.harmonics < 0 or self.rounds < 1 or not self.shrink_dates >= 0 or not self.clip > 0:
            message = (
                f"{self.harmonics} waves, {self.shrink_dates} dates to shrink by, a clip of {self.clip} and "
                f"{self.rounds} rounds: give none below 0, a positive clip, and at least one round"
            )
            raise ValueError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "harmonics": self.harmonics,
            "shrink_dates": self.shrink_dates,
            "clip": self.clip,
            "least_years": self.least_years,
            "rounds": self.rounds,
        }


def season_design(
    days: NDArray[np.float64], parameters: SeasonParameters = SeasonParameters()
) -> NDArray[np.float64]:
    """Return what a level and the waves of a year are on each date.

    Parameters
    ----------
    days : ndarray of float64, shape (time,)
        Ascending, from any origin.
    parameters : SeasonParameters

    Returns
    -------
    ndarray of float64, shape (time, term)
        A column of ones, then a cosine and a sine for each wave; the ones alone when the span is too short.

    Examples
    --------
    >>> season_design(np.array([0.0, 365.25, 730.5])).round(6).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, -0.0], [1.0, 1.0, -0.0]]
    """
    level = np.ones((len(days), 1))
    if days[-1] - days[0] < parameters.least_years * YEAR_DAYS:
        return level
    angles = 2 * np.pi / YEAR_DAYS * days[:, None] * np.arange(1, parameters.harmonics + 1)
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(len(days), -1)
    return np.concatenate([level, waves], axis=1)


def season_residual(
    series: NDArray[np.float32],
    design: NDArray[np.float64],
    spread: float,
    parameters: SeasonParameters = SeasonParameters(),
) -> NDArray[np.float32]:
    """Take its own level and season from each pixel, so that an episode stays.

    The fit is that of Huber (1964, doi:10.1214/aoms/1177703732) with a ridge on the waves: it has the least
    ``sum(rho(r)) + shrink_dates / 2 * |waves|**2``, where ``rho(r)`` is ``r**2 / 2`` up to ``clip * spread``
    and linear beyond. All pixels share their dates, so that one small inverse serves them all: residuals are
    clipped, fitted and added, again and again.

    Parameters
    ----------
    series : ndarray of float32, shape (time, pixel)
        NaN where a date does not see a pixel.
    design : ndarray of float64, shape (time, term)
        As from `season_design`.
    spread : float
        Standard deviation of what is neither season nor change, in the unit of the series; positive.
    parameters : SeasonParameters

    Returns
    -------
    ndarray of float32, shape (time, pixel)
        In the unit of the series; 0 where a date does not see a pixel.

    Examples
    --------
    >>> days = np.arange(0.0, 1461.0, 12.0)
    >>> season = 3 * np.cos(2 * np.pi * days / 365.25)
    >>> series = season.astype(np.float32)[:, None]
    >>> residual = season_residual(series, season_design(days), 0.5, SeasonParameters(shrink_dates=0))
    >>> bool(np.abs(residual).max() < 0.01)
    True
    """
    seen = np.isfinite(series)
    gaps = not seen.all()
    filled = np.where(seen, series, np.float32(0)) if gaps else series
    penalty = np.full(design.shape[1], parameters.shrink_dates)
    penalty[0] = 0
    inverse = np.linalg.inv(design.T @ design + np.diag(penalty))
    step = (inverse @ design.T).astype(np.float32)
    kept = (np.eye(design.shape[1]) - inverse @ np.diag(penalty)).astype(np.float32)
    terms, limit = design.astype(np.float32), np.float32(parameters.clip * spread)
    fitted = np.zeros((design.shape[1], series.shape[1]), np.float32)
    fitted[0] = np.nan_to_num(median_of_dates(series[:, None], threads=1)[0])
    for _ in range(parameters.rounds):
        residual = filled - terms @ fitted
        np.clip(residual, -limit, limit, out=residual)
        if gaps:
            residual *= seen
        fitted = kept @ fitted + step @ residual
    residual = filled - terms @ fitted
    return residual * seen if gaps else residual
