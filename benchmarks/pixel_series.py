"""Made-up series of pixels: level, a season that differs from year to year, noise, clouds, gaps, a change.

Everything that a method could be fitted to stands in `Weather`; nothing here is taken from a method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

YEAR = 365.25


@dataclass(frozen=True)
class Weather:
    """What happens without any change; reflectance, shares and days.

    Attributes
    ----------
    noise : float
        Standard deviation of a date.
    level_years, amplitude_years, phase_years_days : float
        Standard deviations from year to year: of the level, of the season's height as a share, of its dates.
    clear, cloud : float
        Share of dates that are clear, and of these that are cloud or its shadow in truth.
    revisit_days : float
    second_wave : float
        Height of half-yearly waves over that of the yearly one: seasons are no cosines.
    """

    noise: float = 0.03
    level_years: float = 0.003
    amplitude_years: float = 0.1
    phase_years_days: float = 7.0
    clear: float = 0.45
    cloud: float = 0.03
    revisit_days: float = 5.0
    second_wave: float = 0.1


@dataclass(frozen=True, eq=False)
class Series:
    """Values (time, pixel) with NaN for gaps, days (time,), and the day from which pixels are monitored."""

    values: np.ndarray
    days: np.ndarray
    monitored_from: float

    @property
    def history(self):
        """Dates before monitoring."""
        return self.days < self.monitored_from


def simulate(pixels, seed, weather=Weather(), history_years=2.0, monitored_years=1.0):
    """Return a `Series` without change."""
    rng = np.random.default_rng(seed)
    days = np.arange(0.0, (history_years + monitored_years) * YEAR, weather.revisit_days)
    year = (days // YEAR).astype(int)
    level = (
        rng.uniform(0.1, 0.25, pixels) + rng.normal(0, weather.level_years, (year.max() + 1, pixels))[year]
    )
    height = rng.uniform(0.02, 0.06, pixels)
    share = 1 + rng.normal(0, weather.amplitude_years, (year.max() + 1, pixels))[year]
    late = rng.normal(0, weather.phase_years_days, (year.max() + 1, pixels))[year]
    angle = 2 * np.pi * (days[:, None] - rng.uniform(0, YEAR, pixels) - late) / YEAR
    season = height * share * (np.cos(angle) + weather.second_wave * np.cos(2 * angle + 1))
    values = level + season + rng.normal(0, weather.noise, angle.shape)
    veiled = rng.random(angle.shape) < weather.cloud
    bright = rng.uniform(0.1, 0.5, angle.shape)
    shadow = -rng.uniform(0.05, 0.12, angle.shape)
    values += veiled * np.where(rng.random(angle.shape) < 0.67, bright, shadow)
    values[rng.random(angle.shape) >= weather.clear] = np.nan
    return Series(values.astype(np.float32), days, history_years * YEAR)


def with_step(series, size, day=None, until=np.inf):
    """Return the series with a step on a day (two months into monitoring if none is given), until another."""
    start = series.monitored_from + 60 if day is None else day
    inside = (series.days >= start) & (series.days < until)
    return Series(
        series.values + (np.float32(size) * inside)[:, None].astype(np.float32),
        series.days,
        series.monitored_from,
    )
