"""What a series of dates does without any change: the level of each date, and how its noise is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.medians import median_of_dates
from changedet.core.sampling import MAD_TO_SPREAD, last_axis_median
from changedet.core.season import SeasonParameters, season_design, season_residual

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Spread below which a series is constant, in the unit of the series.
_LEAST_SPREAD = 1e-3
#: Standard deviations beyond which residuals do not say more of how they belong together.
_CLIP_BANDS, _CLIP_DATES = 4.0, 1.5
#: How little of each polarisation is its own, at least: what is told twice must not count for ever.
_OWN = 0.01
#: Times in which slow noise is sought to fade, in days, and the lag up to which dates are compared.
_FADING_DAYS = (12.0, 18.0, 25.0, 35.0, 50.0, 70.0, 100.0, 140.0, 200.0)
_LONGEST_LAG_DAYS = 400.0
#: Pixels that two dates must share to be compared.
_LEAST_SHARED = 30


@dataclass(frozen=True, eq=False)
class SeriesNoise:
    """The noise of a series, as from `estimate_noise`.

    Attributes
    ----------
    level_db : ndarray of float32, shape (time, pol)
        By what each date as a whole is brighter than usual: rain, frost, season, calibration.
    spread_db : ndarray of float64, shape (pol,)
        Standard deviation of a pixel round its level and season.
    correlation : ndarray of float64, shape (pol, pol)
        Between polarisations.
    slow_share : float
        Share of the variance that neighbouring dates have in common: wetness, growth.
    slow_days : float
        Days in which that fades to 1/e.
    """

    level_db: NDArray[np.float32]
    spread_db: NDArray[np.float64]
    correlation: NDArray[np.float64]
    slow_share: float
    slow_days: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description, without the levels of the dates."""
        return {
            "spread_db": self.spread_db.tolist(),
            "correlation": self.correlation.tolist(),
            "slow_share": self.slow_share,
            "slow_days": self.slow_days,
        }

    def in_common(self, days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what dates have in common of a noise of variance 1.

        Parameters
        ----------
        days : ndarray of float64, shape (time,)

        Returns
        -------
        ndarray of float64, shape (time, time)
            Covariances, ``slow_share * exp(-lag / slow_days)``. Of each date the rest is its own.
        """
        return np.asarray(self.slow_share * np.exp(-np.abs(days[:, None] - days) / self.slow_days))


def estimate_noise(
    sample_db: NDArray[np.float32],
    days: NDArray[np.float64],
    season: SeasonParameters,
) -> SeriesNoise:
    """Estimate levels and noise from many pixels, few of which changed on any one date.

    The level of a date is the median over the pixels of what they differ from their own median over time.
    Without levels and seasons, the median over the pixels of their median absolute deviation is the spread,
    and the correlations are those of clipped residuals: changed pixels hardly move either. The slow share is
    fitted by least squares to the correlations of all pairs of dates up to 400 days apart.

    Parameters
    ----------
    sample_db : ndarray of float32, shape (time, pol, pixel)
        Power in decibels; NaN where a date does not see a pixel. Every pixel is seen on some date.
    days : ndarray of float64, shape (time,)
        Ascending.
    season : SeasonParameters

    Returns
    -------
    SeriesNoise
    """
    dates, pols, pixels = sample_db.shape
    seen = np.isfinite(sample_db)
    usual = np.stack([_median_over_time(sample_db[:, pol]) for pol in range(pols)])
    different = sample_db - usual
    level = np.array([[_median(plane) for plane in date] for date in different], np.float32)
    design = season_design(days, season)
    units, spread = np.empty((dates, pols, pixels), np.float32), np.empty(pols)
    for pol in range(pols):
        series = different[:, pol] - level[:, pol, None]
        left = season_residual(series, design, _typical_spread(series), season)
        spread[pol] = _typical_spread(np.where(seen[:, pol], left, np.float32(np.nan)))
        units[:, pol] = left / spread[pol]
    slow_share, slow_days = _slow_noise(units, seen, days)
    return SeriesNoise(level, spread, _between_bands(units, seen), slow_share, slow_days)


def _median_over_time(series: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(median_of_dates(series[:, None])[0])


def _median(plane: NDArray[np.float32]) -> float:
    """Return the median of what is finite, 0 when nothing is."""
    finite = plane[np.isfinite(plane)]
    return float(last_axis_median(finite)) if finite.size else 0.0


def _typical_spread(series: NDArray[np.float32]) -> float:
    """Return the median over pixels of their median absolute deviation, as a standard deviation."""
    deviation = _median_over_time(np.abs(series - _median_over_time(series)))
    return max(MAD_TO_SPREAD * _median(deviation), _LEAST_SPREAD)


def _between_bands(units: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the correlation of polarisations, never quite 1."""
    pols = units.shape[1]
    common = np.clip(units, -_CLIP_BANDS, _CLIP_BANDS).transpose(1, 0, 2)[:, seen.all(axis=1)]
    products: NDArray[np.float64] = common.astype(np.float64) @ common.astype(np.float64).T
    scale = np.sqrt(np.diag(products))
    if not (scale > 0).all():
        return np.eye(pols)
    return np.asarray((1 - _OWN) * products / np.outer(scale, scale) + _OWN * np.eye(pols))


def _slow_noise(
    units: NDArray[np.float32], seen: NDArray[np.bool_], days: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the share of the noise that fades slowly, and in how many days it does."""
    lag_days = np.abs(days[:, None] - days)
    total, shared = np.zeros(lag_days.shape), np.zeros(lag_days.shape)
    for pol in range(units.shape[1]):
        here = seen[:, pol].astype(np.float32)
        count = here @ here.T
        clipped = np.clip(units[:, pol], -_CLIP_DATES, _CLIP_DATES)
        mean = clipped.sum(axis=1, keepdims=True) / np.maximum(here.sum(axis=1, keepdims=True), 1)
        clipped = (clipped - mean) * here
        products = (clipped @ clipped.T).astype(np.float64) / np.maximum(count, 1)
        scale = np.sqrt(np.diag(products))
        weight = np.where((count >= _LEAST_SHARED) & (np.outer(scale, scale) > 0), count, 0)
        total += weight * products / np.where(weight > 0, np.outer(scale, scale), 1)
        shared += weight
    pairs = np.triu((shared > 0) & (lag_days < _LONGEST_LAG_DAYS), 1)
    observed, lags = total[pairs] / shared[pairs], lag_days[pairs]
    return _fading(lags, observed) if lags.size else (0.0, _FADING_DAYS[0])


def _fading(lags: NDArray[np.float64], observed: NDArray[np.float64]) -> tuple[float, float]:
    fits = []
    for fading_days in _FADING_DAYS:
        shape = np.exp(-lags / fading_days)
        share = float(np.clip((shape @ observed) / max(float(shape @ shape), 1e-12), 0.0, 0.9))
        fits.append((float(np.square(observed - share * shape).sum()), share, fading_days))
    return min(fits)[1:]
