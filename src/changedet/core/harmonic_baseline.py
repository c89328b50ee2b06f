"""What a stable history lets one expect of each pixel on any day, and where it lets one expect nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS, run_blocks, spans
from changedet.core.few_dates import FewDates, FewDatesRules, collect_few_dates
from changedet.core.parameters import Described
from changedet.core.robust_fit import RobustFit, robust_fit, term_pairs
from changedet.core.season import YEAR_DAYS, SeasonParameters, season_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What the values of a block of pixels may take; a round has some five such arrays. Smaller blocks fit the
#: cache better, and cost more calls than that is worth.
_BLOCK_BYTES = 1_200_000
#: Deviation at which residuals stop counting when a history is tested, in scales.
_CLIP = np.float32(3)


class BaselineCode(IntEnum):
    """Why a pixel is monitored or is not."""

    #: Level and season were fitted, and what was left over shows no break.
    MONITORED = 0
    #: Fewer dates than even a level needs.
    TOO_FEW = 1
    #: The history itself changed: what is usual there is not known.
    UNSTABLE = 2
    #: Few dates: judged on days within a season window of some of them, by their level alone.
    LEVEL_ONLY = 3
    #: Enough dates, but of too short a time to know a year.
    TOO_SHORT = 4


@dataclass(frozen=True)
class BaselineParameters(Described):
    """Parameters of `fit_baseline`.

    Attributes
    ----------
    harmonics : int
        Waves a year; 0 for a level only.
    trend : bool
        Whether a straight line is fitted as well. It goes on into the future, and so does its error.
    rounds : int
        Of weights at most; 0 for ordinary least squares.
    tuning : float
        Scales beyond which a date does not count.
    least_dates : int
        Clear dates that level and season need.
    least_years : float
        Years from the first to the last of them.
    least_level_dates : int
        Dates that a level alone needs within its season window.
    window_days : float
        Half the width of that window.
    stability : float
        Greatest excursion of the cumulated residuals of a history, as a Brownian bridge has it: 1.63 is
        exceeded by 1 % of independent series, 1.95 by 1 in 1000. Infinity for no test.
    least_scale : float
        Smaller scales are taken for this one, in the unit of the values: no sensor is quieter.
    most_leverage : float
        Variance of the expectation over that of a single date, beyond which a day is not judged: the history
        says nothing of that part of the year.
    """

    harmonics: int = 1
    trend: bool = False
    rounds: int = 10
    tuning: float = 4.685
    least_dates: int = 12
    least_years: float = 1.5
    least_level_dates: int = 3
    window_days: float = 45.0
    stability: float = 1.8
    least_scale: float = 0.005
    most_leverage: float = 0.5

    def __post_init__(self) -> None:
        if self.harmonics < 0 or self.rounds < 0 or self.least_level_dates < 1:
            message = (
                f"{self.harmonics} waves, {self.rounds} rounds, {self.least_level_dates} dates for a level: "
                "give no negative number, and at least one date"
            )
            raise ValueError(message)
        if self.least_dates <= self.terms:
            message = f"{self.least_dates} dates for {self.terms} terms; give more dates than terms"
            raise ValueError(message)
        positive = (self.tuning, self.window_days, self.stability, self.least_scale, self.most_leverage)
        if not all(number > 0 for number in positive) or not self.least_years >= 0:
            message = (
                "tuning, window_days, stability, least_scale and most_leverage must be positive and "
                f"least_years not negative, not {positive} and {self.least_years}"
            )
            raise ValueError(message)

    @property
    def terms(self) -> int:
        """Number of coefficients of a pixel: level, waves, trend."""
        return 1 + 2 * self.harmonics + int(self.trend)


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is usual, as from `fit_baseline`. Shapes (...) are those of a date.

    Attributes
    ----------
    coefficient : ndarray of float32, shape (term, ...)
        Level, a cosine and a sine for each wave, a trend a year; NaN where there are none.
    scale : ndarray of float32, shape (...)
        Standard deviation of a date round it; NaN where there is none.
    inverse : ndarray of float32, shape (pair, ...)
        Times the scale squared, the covariance of the coefficients (`robust_fit.term_pairs`).
    count : ndarray of int16, shape (...)
        Dates of the history that see the pixel.
    code : ndarray of uint8, shape (...)
        A `BaselineCode`.
    last_day : ndarray of float32, shape (...)
        The last of these dates; NaN where there is none.
    break_day : ndarray of float32, shape (...)
        Where the history is unstable, the last date before it changed most; else NaN.
    origin_day : float
        Where a trend is nought.
    few : FewDates
        The dates of pixels that have few.
    parameters : BaselineParameters
    """

    coefficient: NDArray[np.float32]
    scale: NDArray[np.float32]
    inverse: NDArray[np.float32]
    count: NDArray[np.int16]
    code: NDArray[np.uint8]
    last_day: NDArray[np.float32]
    break_day: NDArray[np.float32]
    origin_day: float
    few: FewDates
    parameters: BaselineParameters

    @property
    def monitored(self) -> NDArray[np.bool_]:
        """Where a later date can be judged: by level and season, or by a level alone."""
        return np.isin(self.code, (BaselineCode.MONITORED, BaselineCode.LEVEL_ONLY))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a date."""
        return self.scale.shape

    def expected(self, day: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what is usual on a day, and how far a date may lie from it.

        Parameters
        ----------
        day : float
            From the same origin as the days of the history.

        Returns
        -------
        expected, spread : ndarray of float32, shape (...)
            In the unit of the values. The spread is a standard deviation and holds the error of the
            expectation. Both NaN where the day cannot be judged.
        """
        value, spread = self.expected_of(day, slice(0, self.scale.size))
        return value.reshape(self.shape), spread.reshape(self.shape)

    def expected_of(self, day: float, pixels: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the same as `expected` for a run of pixels.

        Parameters
        ----------
        day : float
        pixels : slice
            Of the flattened grid.

        Returns
        -------
        expected, spread : ndarray of float32, shape (pixel,)
        """
        terms = design_of(np.array([day], np.float64), self.origin_day, self.parameters)[0].astype(np.float32)
        coefficient = self.coefficient.reshape(len(terms), -1)[:, pixels]
        inverse = self.inverse.reshape(len(self.inverse), -1)[:, pixels]
        value = coefficient[0] * terms[0]
        for term, row in zip(terms[1:], coefficient[1:], strict=True):
            value += row * term
        leverage = np.zeros_like(value)
        for (row, column), part in zip(term_pairs(len(terms)), inverse, strict=True):
            leverage += part * (terms[row] * terms[column] * np.float32(1 if row == column else 2))
        spread = self.scale.reshape(-1)[pixels] * np.sqrt(np.maximum(leverage, np.float32(0)) + np.float32(1))
        known = leverage <= np.float32(self.parameters.most_leverage)
        known &= self.code.reshape(-1)[pixels] == BaselineCode.MONITORED
        value = np.where(known, value, np.float32(np.nan))
        spread = np.where(known, spread, np.float32(np.nan))
        self.few.fill(day, pixels, value, spread)
        return value, spread

    def standardise(
        self,
        values: NDArray[np.float32],
        days: NDArray[np.float64],
        seen: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return by how many standard deviations dates lie from what is usual.

        Parameters
        ----------
        values : ndarray of float32, shape (time, ...)
        days : ndarray of float64, shape (time,)
        seen : ndarray of bool, shape (time, ...), optional
            Where a date sees a pixel; where it is finite when not given.

        Returns
        -------
        ndarray of float32, shape (time, ...)
            NaN where a date does not see a pixel or cannot be judged.
        """
        check_series(values, days, seen)
        flat = values.reshape(len(values), -1)
        out = np.empty(flat.shape, np.float32)
        for pixels in spans(flat.shape[1], 8192):
            for number, day in enumerate(days):
                expected, spread = self.expected_of(float(day), pixels)
                out[number, pixels] = (flat[number, pixels] - expected) / spread
        if seen is not None:
            out[~seen.reshape(flat.shape)] = np.nan
        out[~np.isfinite(out)] = np.nan
        return out.reshape(values.shape)


def design_of(
    days: NDArray[np.float64], origin_day: float, parameters: BaselineParameters
) -> NDArray[np.float64]:
    """Return what the terms of a baseline are on each date.

    Parameters
    ----------
    days : ndarray of float64, shape (time,)
    origin_day : float
        Where a trend is nought.
    parameters : BaselineParameters

    Returns
    -------
    ndarray of float64, shape (time, term)
        Ones, a cosine and a sine for each wave, years since the origin.
    """
    season = season_design(days, SeasonParameters(harmonics=parameters.harmonics, least_years=-math.inf))
    if not parameters.trend:
        return season
    return np.concatenate([season, ((days - origin_day) / YEAR_DAYS)[:, None]], axis=1)


def check_series(
    values: NDArray[np.float32], days: NDArray[np.float64], seen: NDArray[np.bool_] | None
) -> None:
    """Refuse a series whose parts do not belong together.

    Parameters
    ----------
    values : ndarray, shape (time, ...)
    days : ndarray, shape (time,)
    seen : ndarray of bool, shape (time, ...), optional

    Raises
    ------
    ValueError
        When the shapes differ, there is no date, or the days do not ascend.
    """
    if values.ndim < 2 or len(values) == 0 or days.shape != values.shape[:1]:
        message = (
            f"values of shape {values.shape} and {days.shape} days are not a series (time, ...) with its days"
        )
        raise ValueError(message)
    if seen is not None and (seen.shape != values.shape or seen.dtype != np.bool_):
        message = (
            f"seen is {seen.dtype} of shape {seen.shape}; give bool of the shape of the values {values.shape}"
        )
        raise ValueError(message)
    if not np.isfinite(days).all() or (np.diff(days) < 0).any():
        message = "the days do not ascend; sort the dates first"
        raise ValueError(message)


def fit_baseline(
    values: NDArray[np.float32],
    days: NDArray[np.float64],
    seen: NDArray[np.bool_] | None = None,
    parameters: BaselineParameters = BaselineParameters(),
    threads: int = THREADS,
) -> Baseline:
    """Learn from a history what is usual for each pixel.

    Level and season are fitted by `robust_fit` on the dates that see the pixel. A history whose cumulated
    residuals stray too far (Ploberger and Kraemer 1992, doi:10.2307/2951597, on residuals clipped at 3
    scales) is called unstable and is not monitored.

    Parameters
    ----------
    values : ndarray of float32, shape (time, ...)
        A history, of pixels (y, x), of pixels in a row, or of objects. NaN where a date does not see.
    days : ndarray of float64, shape (time,)
        Ascending, from any origin (days since 1970, say).
    seen : ndarray of bool, shape (time, ...), optional
        Where a date sees a pixel; where it is finite when not given.
    parameters : BaselineParameters
    threads : int
        How many work at a time; they do not change the result.

    Returns
    -------
    Baseline

    Raises
    ------
    ValueError
        When shapes do not fit or days do not ascend.

    Examples
    --------
    >>> days = np.arange(0.0, 730.5, 10.0)
    >>> season = 0.2 + 0.05 * np.cos(2 * np.pi * days / 365.25)
    >>> found = fit_baseline(season.astype(np.float32)[:, None], days)
    >>> found.coefficient[:2, 0].round(3).tolist()
    [0.20000000298023224, 0.05000000074505806]
    """
    check_series(values, days, seen)
    flat = values.reshape(len(values), -1)
    mask = None if seen is None else seen.reshape(flat.shape)
    origin_day = float(days.mean())
    out = _Out.empty(flat.shape[1], parameters.terms)
    design = design_of(days, origin_day, parameters)
    step = max(64, _BLOCK_BYTES // (4 * len(days)))

    def _work(pixels: slice) -> None:
        dates = np.asarray(flat[:, pixels], np.float32)
        clear = np.isfinite(dates)
        if mask is not None:
            clear &= mask[:, pixels]
        out.take(pixels, _History.of(dates, clear, days, design), parameters)

    run_blocks(_work, spans(flat.shape[1], step), threads)
    chosen = out.code == BaselineCode.LEVEL_ONLY
    few = collect_few_dates(flat, mask, days, chosen, _rules_of_few(out, parameters))
    return out.baseline(values.shape[1:], origin_day, few, parameters)


@dataclass(frozen=True, eq=False)
class _Out:
    """What blocks of pixels write into, flattened."""

    coefficient: NDArray[np.float32]
    scale: NDArray[np.float32]
    inverse: NDArray[np.float32]
    count: NDArray[np.int16]
    code: NDArray[np.uint8]
    last_day: NDArray[np.float32]
    break_day: NDArray[np.float32]

    @classmethod
    def empty(cls, pixels: int, terms: int) -> _Out:
        """Make room for so many pixels."""
        return cls(
            np.empty((terms, pixels), np.float32),
            np.empty(pixels, np.float32),
            np.empty((len(term_pairs(terms)), pixels), np.float32),
            np.empty(pixels, np.int16),
            np.empty(pixels, np.uint8),
            np.empty(pixels, np.float32),
            np.full(pixels, np.nan, np.float32),
        )

    def take(self, pixels: slice, history: _History, parameters: BaselineParameters) -> None:
        """Fit and judge one block."""
        fit = history.fit(parameters)
        scale = np.maximum(fit.scale, np.float32(parameters.least_scale))
        strays, path = history.strays(fit.residual, scale)
        code = history.code(parameters, np.isfinite(fit.coefficient[0]))
        unstable = (code == BaselineCode.MONITORED) & (strays > parameters.stability)
        code[unstable] = BaselineCode.UNSTABLE
        fitted = (code == BaselineCode.MONITORED) | unstable
        nan = np.float32(np.nan)
        self.coefficient[:, pixels] = np.where(fitted, fit.coefficient, nan)
        self.inverse[:, pixels] = np.where(fitted, fit.inverse, nan)
        self.scale[pixels] = np.where(fitted, scale, nan)
        self.count[pixels] = history.count
        self.code[pixels] = code
        self.last_day[pixels] = history.last_day
        self.break_day[pixels][unstable] = history.days[np.abs(path[:, unstable]).argmax(axis=0)]

    def baseline(
        self, shape: tuple[int, ...], origin_day: float, few: FewDates, parameters: BaselineParameters
    ) -> Baseline:
        """Give what was written its shape."""
        return Baseline(
            self.coefficient.reshape(-1, *shape),
            self.scale.reshape(shape),
            self.inverse.reshape(-1, *shape),
            self.count.reshape(shape),
            self.code.reshape(shape),
            self.last_day.reshape(shape),
            self.break_day.reshape(shape),
            origin_day,
            few,
            parameters,
        )


@dataclass(frozen=True, eq=False)
class _History:
    """The history of a block: dates, clear (time, pixel), design (time, term)."""

    dates: NDArray[np.float32]
    clear: NDArray[np.bool_]
    days: NDArray[np.float64]
    design: NDArray[np.float64]
    count: NDArray[np.int32]
    first_day: NDArray[np.float32]
    last_day: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        dates: NDArray[np.float32],
        clear: NDArray[np.bool_],
        days: NDArray[np.float64],
        design: NDArray[np.float64],
    ) -> _History:
        """Count the dates of each pixel, and find the first and the last."""
        count = np.zeros(clear.shape[1], np.int32)
        # small numbers are added many at a time
        for some in spans(len(clear), 255):
            count += clear[some].view(np.uint8).sum(axis=0, dtype=np.uint8)
        ends = (
            np.append(when, np.nan).astype(np.float32)[_leading_false(flags)]
            for when, flags in ((days, clear), (days[::-1], clear[::-1]))
        )
        return cls(dates, clear, days, design, count, *ends)

    def fit(self, parameters: BaselineParameters) -> RobustFit:
        """Fit level and season; sorting is quick where the dates of a pixel lie side by side."""
        values, clear = self.dates.T, self.clear.T
        if parameters.rounds:
            values, clear = np.ascontiguousarray(values), np.ascontiguousarray(clear)
        return robust_fit(values, clear, self.design, parameters.rounds, parameters.tuning)

    def code(self, parameters: BaselineParameters, solved: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Say what number and time of the dates allow."""
        code = np.full(len(self.count), BaselineCode.MONITORED, np.uint8)
        short = ~(self.last_day - self.first_day >= parameters.least_years * YEAR_DAYS) | ~solved
        code[short] = BaselineCode.TOO_SHORT
        code[self.count < parameters.least_dates] = BaselineCode.LEVEL_ONLY
        code[self.count < parameters.least_level_dates] = BaselineCode.TOO_FEW
        return code

    def strays(
        self, residual: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return how far cumulated clipped residuals stray, and their way (time, pixel); they are used up."""
        # sums over time are quick where pixels lie side by side
        path = np.ascontiguousarray(residual.T)
        limit = _CLIP * scale
        np.minimum(path, limit, out=path)
        np.maximum(path, -limit, out=path)
        path -= path.sum(axis=0) / np.maximum(self.count, 1).astype(np.float32)
        path *= self.clear
        variance = np.einsum("tn,tn->n", path, path)
        for number in range(1, len(path)):
            np.add(path[number - 1], path[number], out=path[number])
        farthest = np.maximum(path.max(axis=0), -path.min(axis=0))
        return farthest / np.sqrt(np.maximum(variance, np.finfo(np.float32).tiny)), path


def _leading_false(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return how many dates (time, pixel) come before the first that is True."""
    left, found = np.ones(flags.shape[1], bool), np.zeros(flags.shape[1], np.int32)
    # hardly any pixel is left after a few dates
    for row in flags:
        np.greater(left, row, out=left)
        if not left.any():
            break
        found += left
    return found


def _rules_of_few(out: _Out, parameters: BaselineParameters) -> FewDatesRules:
    known = out.scale[np.isfinite(out.scale)]
    usual = float(np.median(known)) if known.size else 0.0
    return FewDatesRules(
        parameters.window_days, parameters.least_level_dates, max(usual, parameters.least_scale)
    )
