"""Since when, and until when, a series of several indices stands apart from its own course: looking back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.parameters import Described
from changedet.core.sampling import MAD_TO_SPREAD
from changedet.core.season import SeasonParameters, season_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: How much of the noise of an index is taken to be its own, whatever few dates say.
_OWN = 0.3
#: A date alone is further than this from both its neighbours, and these are nearer than that to each other,
#: in standard deviations.
_ALONE, _TOGETHER = 5.0, 3.0
#: Lags over which noise is asked whether it fades slowly, in units of the days in which it does, and how many
#: dates with the share of the parameters are believed beside those of the series.
_LONGEST_LAG, _BELIEVED_DATES = 1.0, 200.0
_MOST_SLOW = 0.8
#: In a window of so few dates, each must show this share of the step.
_SHORT, _LEAST_SHOWN = 3, 0.35
#: Dates for each term of a season from which what changed has a season of its own.
_OWN_SEASON = 2
#: A window of which level and season explain more than this is no window: it cannot be told from them.
_MOST_EXPLAINED = 0.85


@dataclass(frozen=True)
class SeriesChangeParameters(Described):
    """Parameters of `find_series_changes`.

    Attributes
    ----------
    season : SeasonParameters
        Waves a year, and the years they need.
    least_inside : int
        Clear dates that a change must show on.
    least_before : int
        Clear dates before a change that lasts to the end of the series; before one that ends, one is enough.
    least_outside : int
        Clear dates before and after a change that ends, together.
    false_alarms : float
        Share of series of noise alone in which something is found.
    slow_share : float
        Share of the variance that neighbouring dates have in common, since years differ: taken for the truth
        of few dates; many show it themselves.
    slow_days : float
        Days in which that fades to 1/e.
    least_spread : float
        Smaller noise is taken for this one, in index units.
    least_step : float
        Some index must change by this much, in index units.
    least_step_sigma : float
        The same in standard deviations of its noise.
    most_changes : int
        Changes that are looked for in one series.
    simulations : int
        Series of noise from which the threshold is taken.
    seed : int
        Of these.
    """

    season: SeasonParameters = field(default_factory=lambda: SeasonParameters(least_years=1.5))
    least_inside: int = 2
    least_before: int = 2
    least_outside: int = 4
    false_alarms: float = 0.01
    slow_share: float = 0.4
    slow_days: float = 60.0
    least_spread: float = 0.008
    least_step: float = 0.03
    least_step_sigma: float = 1.5
    most_changes: int = 3
    simulations: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or not 0 <= self.slow_share < 1 or not self.slow_days > 0:
            message = (
                f"a share of false alarms of {self.false_alarms}, a slow share of {self.slow_share} and "
                f"{self.slow_days} days: give shares between 0 and 1 and positive days"
            )
            raise ValueError(message)
        counts = (self.least_inside, self.least_before, self.least_outside, self.most_changes)
        if min(counts) < 1 or self.simulations < 100 or not self.least_spread > 0:
            message = (
                f"{counts} dates and changes, {self.simulations} simulated series and a noise of "
                f"{self.least_spread}: give at least 1, at least 100, and a positive number"
            )
            raise ValueError(message)

    @property
    def least_dates(self) -> int:
        """Clear dates without which nothing is looked for."""
        return self.least_inside + self.least_outside + 2 * self.season.harmonics


@dataclass(frozen=True, eq=False)
class ChangeDates:
    """Between which dates of a series something stands apart from the rest of it.

    Attributes
    ----------
    unchanged_until : int
        The last date before that shows the place.
    first : int
        The first date that shows the change: it lies between the two.
    last : int
        The last date that shows it.
    over_by : int or None
        The first date that does not show it any more; None when it lasts to the end of the series.
    """

    unchanged_until: int
    first: int
    last: int
    over_by: int | None

    def inside(self, dates: int) -> NDArray[np.bool_]:
        """Say which dates lie between the first and the last that show it.

        Parameters
        ----------
        dates : int
            Length of the series.

        Returns
        -------
        ndarray of bool, shape (time,)
        """
        number = np.arange(dates)
        return np.asarray((number >= self.first) & (number <= self.last))


@dataclass(frozen=True, eq=False)
class SeriesChange(ChangeDates):
    """A part of a series that stands apart from the rest.

    Attributes
    ----------
    step : ndarray of float64, shape (index,)
        By how much the dates inside differ from those outside on average, level and season apart.
    course : ndarray of float64, shape (time, index)
        What the change makes of each date, a season of its own included; 0 on all dates outside.
    spread : ndarray of float64, shape (index,)
        Standard deviation of a date round level, season and change.
    score : float
        In standard deviations of noise.
    threshold : float
        Score that the chosen share of series of noise alone reach.
    """

    step: Floats
    course: Floats
    spread: Floats
    score: float
    threshold: float


def find_series_changes(
    values: NDArray[np.float32], days: Floats, parameters: SeriesChangeParameters = SeriesChangeParameters()
) -> tuple[SeriesChange, ...]:
    """Find when a series of one place stood apart from its own level and season.

    The whole series is at hand, so that dates before and after serve alike: a change that began after a few
    dates is found as well as one that began before the last few, which a chart that first learns a history
    cannot do. Level, waves of the year and a step between two dates are fitted together by least squares, for
    every pair of dates; the pair that explains most is a change when it explains more than such pairs do in
    series of noise alone, part of which fades slowly. A step that reaches the last date is a lasting change
    (Chow 1960, doi:10.2307/1910133, at an unknown date: Andrews 1993, doi:10.2307/2951764); one that ends
    before has a second date to choose, for which the logarithm of the number of dates is taken off its
    squared score (Schwarz 1978, doi:10.1214/aos/1176344136). The next change is looked for with the ones that
    were found among what is fitted, each with a season of its own. Single dates that stand alone are passed
    over.

    Parameters
    ----------
    values : ndarray of float32, shape (time, index)
        Medians of a place, say; NaN where a date does not show it.
    days : ndarray of float64, shape (time,)
        Of each date, from any origin, ascending.
    parameters : SeriesChangeParameters

    Returns
    -------
    tuple of SeriesChange
        The strongest first; none when there are too few clear dates.

    Raises
    ------
    ValueError
        When shapes disagree or days do not ascend.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> days = 10.0 * np.arange(60)
    >>> values = (0.6 + 0.02 * rng.standard_normal((60, 1))).astype(np.float32)
    >>> values[40:] -= 0.3
    >>> change, = find_series_changes(values, days)
    >>> change.unchanged_until, change.first, change.over_by
    (39, 40, None)
    """
    if values.ndim != 2 or days.shape != values.shape[:1] or not (np.diff(days) >= 0).all():
        message = f"values of shape {values.shape} and {days.shape} days are no series (time, index) in order"
        raise ValueError(message)
    dates = np.flatnonzero(np.isfinite(values).all(axis=1))
    dates = dates[~alone(values[dates], parameters.least_spread)]
    if len(dates) < parameters.least_dates or values.shape[1] == 0:
        return ()
    clear, clear_days, found = values[dates].astype(np.float64), days[dates], list[SeriesChange]()
    season = season_design(clear_days, parameters.season)
    added: list[Floats] = []
    while len(found) < parameters.most_changes:
        search = _Search.of(np.concatenate([season, *added], axis=1), clear_days, parameters)
        change = search.strongest(clear)
        if change is None:
            break
        found.append(change)
        added.append(_own_columns(change, season))
    courses = _courses(clear, season, added)
    return tuple(
        _counted_in(change, course, dates, len(values)) for change, course in zip(found, courses, strict=True)
    )


def _own_columns(change: SeriesChange, season: Floats) -> Floats:
    """Return what a change adds to the fit: a step, and where enough dates show both, a season of its own."""
    inside = change.inside(len(season)).astype(np.float64)[:, None]
    fewer = min(inside.sum(), len(inside) - inside.sum())
    return inside * (season if fewer >= _OWN_SEASON * season.shape[1] else season[:, :1])


def _courses(values: Floats, season: Floats, added: list[Floats]) -> list[Floats]:
    """Return what each change makes of each date, when all are fitted together."""
    together = np.linalg.pinv(np.concatenate([season, *added], axis=1)) @ values
    ends = np.cumsum([season.shape[1], *(one.shape[1] for one in added)])
    return [one @ together[start:stop] for one, start, stop in zip(added, ends[:-1], ends[1:], strict=True)]


def noise_of_differences(values: NDArray[np.float32], least_spread: float) -> Floats:
    """Return the noise of series from the differences of neighbouring dates, which no level or step touches.

    Parameters
    ----------
    values : ndarray of float32, shape (time, index)
        Without gaps.
    least_spread : float
        Smaller noise is taken for this one.

    Returns
    -------
    ndarray of float64, shape (index,)
        Standard deviations of a date.
    """
    if len(values) < 2:
        return np.full(values.shape[1], least_spread)
    between = np.abs(np.diff(values.astype(np.float64), axis=0))
    spread = MAD_TO_SPREAD / np.sqrt(2) * np.median(between, axis=0)
    return np.asarray(np.maximum(spread, least_spread))


def alone(values: NDArray[np.float32], least_spread: float) -> NDArray[np.bool_]:
    """Say which dates stand alone: far from both neighbours, which are near each other. Mostly missed clouds.

    Parameters
    ----------
    values : ndarray of float32, shape (time, index)
        Without gaps.
    least_spread : float
        Smaller noise is taken for this one.

    Returns
    -------
    ndarray of bool, shape (time,)
        Never the first or the last date.

    Examples
    --------
    >>> series = np.float32([0.1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1])
    >>> alone(series[:, None], 0.01).tolist()
    [False, False, True, False, False, False, False]
    """
    out = np.zeros(len(values), bool)
    if len(values) < 3:
        return out
    units = values.astype(np.float64) / noise_of_differences(values, least_spread)
    rise, fall = units[1:-1] - units[:-2], units[1:-1] - units[2:]
    apart = (np.minimum(np.abs(rise), np.abs(fall)) > _ALONE) & (rise * fall > 0)
    out[1:-1] = (apart & (np.abs(units[2:] - units[:-2]) < _TOGETHER)).any(axis=1)
    return out


@dataclass(frozen=True, eq=False)
class _Search:
    """One look for a step beside what is fitted already: the same for the series and for simulated ones."""

    residual_maker: Floats
    weight: Floats
    days: Floats
    terms: int
    parameters: SeriesChangeParameters

    @classmethod
    def of(cls, design: Floats, days: Floats, parameters: SeriesChangeParameters) -> _Search:
        """Prepare the windows of a series without gaps; `design` has shape (time, term)."""
        dates = len(design)
        maker = np.eye(dates) - design @ np.linalg.pinv(design)
        sums = np.zeros((dates + 1, dates + 1))
        sums[1:, 1:] = maker.cumsum(axis=0).cumsum(axis=1)
        start, stop = np.arange(dates)[:, None], np.arange(dates + 1)[None]
        left = sums[stop, stop] - sums[start, stop] - sums[stop, start] + sums[start, start]
        inside = stop - start
        passing = (start >= 1) & (dates - inside >= parameters.least_outside)
        enough = np.where(stop == dates, start >= parameters.least_before, passing)
        enough &= inside >= parameters.least_inside
        enough &= left > (1 - _MOST_EXPLAINED) * np.maximum(inside * (1 - inside / dates), 1e-9)
        weight = np.where(enough, 1 / np.where(enough, left, 1), 0.0)
        return cls(maker, weight, days, design.shape[1], parameters)

    def strongest(self, values: Floats) -> SeriesChange | None:
        """Return the strongest change of a series (time, index), None when it may be noise or is small."""
        score, windows, steps, spread = self._judge(values[:, :, None])
        start, stop = (int(one) for one in windows[:, 0])
        step = np.abs(steps[:, 0])
        large = (step >= self.parameters.least_step) & (
            step >= self.parameters.least_step_sigma * spread[:, 0]
        )
        if stop <= start or not large.any() or not self._shared(values, start, stop, steps[:, 0]):
            return None
        if score[0] <= (limit := self._threshold(values, spread[:, 0])):
            return None
        return SeriesChange(
            unchanged_until=start - 1,
            first=start,
            last=stop - 1,
            over_by=stop if stop < len(values) else None,
            step=steps[:, 0],
            course=np.zeros_like(values),
            spread=spread[:, 0],
            score=float(score[0]),
            threshold=limit,
        )

    def _shared(self, values: Floats, start: int, stop: int, steps: Floats) -> bool:
        """Tell whether all dates of a short window show its step, and not one for all of them."""
        if stop - start > _SHORT:
            return True
        window = np.zeros(len(values))
        window[start:stop] = 1
        left = self.residual_maker @ (values - np.outer(window, steps))
        lead = int(np.argmax(np.abs(steps) / np.maximum(np.abs(values).max(axis=0), 1e-9)))
        shown = 1 + left[start:stop, lead] / steps[lead]
        return bool((shown > _LEAST_SHOWN).all())

    def _judge(self, values: Floats) -> tuple[Floats, NDArray[np.intp], Floats, Floats]:
        """Return scores, windows (2, series), steps and spreads of series (time, index, series)."""
        residual = np.einsum("st,tkn->skn", self.residual_maker, values, optimize=True)
        spread = self._spread(np.square(residual).sum(axis=0), 0)
        windows, steps = np.zeros((2, values.shape[2]), np.intp), np.zeros(values.shape[1:])
        score = np.zeros(values.shape[2])
        # noise is known only beside the step, and the step only beside the noise
        for _ in range(2):
            score, windows = self._windows(residual / spread)
            start, stop = windows
            sums = self._sums(residual)
            number = np.arange(values.shape[2])
            steps = (sums[stop, :, number] - sums[start, :, number]).T * self.weight[start, stop]
            weight = self.weight[start, stop]
            explained = np.divide(np.square(steps), weight, out=np.zeros_like(steps), where=weight > 0)
            spread = self._spread(np.square(residual).sum(axis=0) - explained, 1)
        final = np.square(steps / spread).sum(axis=0)
        weight = self.weight[windows[0], windows[1]]
        score = np.sqrt(np.divide(final, weight, out=np.zeros_like(final), where=weight > 0))
        return score, windows, steps, spread

    def _spread(self, squares: Floats, more: int) -> Floats:
        free = max(len(self.residual_maker) - self.terms - more, 1)
        return np.asarray(np.maximum(np.sqrt(np.maximum(squares, 0) / free), self.parameters.least_spread))

    @staticmethod
    def _sums(units: Floats) -> Floats:
        sums = np.zeros((len(units) + 1, *units.shape[1:]))
        np.cumsum(units, axis=0, out=sums[1:])
        return sums

    def _windows(self, units: Floats) -> tuple[Floats, NDArray[np.intp]]:
        """Return the squared scores and the windows that explain most, shape (2, series)."""
        sums, dates, count = self._sums(units), len(units), units.shape[2]
        score, windows = np.zeros(count), np.zeros((2, count), np.intp)
        second_date = np.log(dates)
        for start in np.flatnonzero((self.weight > 0).any(axis=1)):
            stops = np.flatnonzero(self.weight[start] > 0)
            strength = np.square(sums[stops] - sums[start]).sum(axis=1) * self.weight[start, stops, None]
            strength[stops < dates] -= second_date
            best = strength.argmax(axis=0)
            value = np.take_along_axis(strength, best[None], axis=0)[0]
            better = value > score
            score[better] = value[better]
            windows[:, better] = np.stack([np.full(int(better.sum()), start), stops[best[better]]])
        return score, windows

    def _slow_share(self, values: Floats) -> float:
        """Return which share of the noise fades slowly, from what is left beside the strongest window."""
        residual = self.residual_maker @ values
        _, windows, steps, spread = self._judge(values[:, :, None])
        window = np.zeros(len(values))
        window[windows[0, 0] : windows[1, 0]] = 1
        left = np.clip((residual - np.outer(self.residual_maker @ window, steps[:, 0])) / spread[:, 0], -3, 3)
        lag = np.abs(self.days[:, None] - self.days) / self.parameters.slow_days
        near = np.triu(lag <= _LONGEST_LAG, 1)
        fading = np.exp(-lag[near])
        products = (left @ left.T)[near] / max(float(np.square(left).mean()) * left.shape[1], 1e-12)
        shown = float(fading @ products) / max(float(fading @ fading), 1e-12)
        # what is fitted takes some of it away, and the more the fewer dates there are
        shown += self.terms / len(values)
        weight = len(values) / (len(values) + _BELIEVED_DATES)
        share = weight * shown + (1 - weight) * self.parameters.slow_share
        return float(np.clip(share, 0.0, _MOST_SLOW))

    def _threshold(self, values: Floats, spread: Floats) -> float:
        """Return the score that the chosen share of series of noise alone pass."""
        dates, count = len(values), self.parameters.simulations
        share, lag = self._slow_share(values), np.abs(self.days[:, None] - self.days)
        in_common = share * np.exp(-lag / self.parameters.slow_days)
        colour = np.linalg.cholesky(in_common + (1 - share) * np.eye(dates))
        white = np.random.default_rng(self.parameters.seed).standard_normal((dates, len(spread), count))
        bands = np.linalg.cholesky(_correlation(values, spread)) * spread[:, None]
        made = np.einsum("qp,tu,upn->tqn", bands, colour, white, optimize=True)
        return float(np.quantile(self._judge(made)[0], 1 - self.parameters.false_alarms))


def _correlation(values: Floats, spread: Floats) -> Floats:
    """Return the correlation of the noise of indices, never near 1: few dates hardly know it."""
    between = np.clip(np.diff(values, axis=0) / spread, -3, 3)
    scale = np.sqrt(np.square(between).mean(axis=0))
    if not (scale > 0).all():
        return np.eye(len(spread))
    found = (between / scale).T @ (between / scale) / len(between)
    return np.asarray((1 - _OWN) * found + _OWN * np.eye(len(spread)))


def _counted_in(change: SeriesChange, course: Floats, dates: NDArray[np.intp], length: int) -> SeriesChange:
    """Count the dates of a change among all dates, not among the clear ones."""
    whole = np.zeros((length, course.shape[1]))
    whole[dates] = course
    step = course[change.first : change.last + 1].mean(axis=0)
    over_by = None if change.over_by is None else int(dates[change.over_by])
    return replace(
        change,
        unchanged_until=int(dates[change.unchanged_until]),
        first=int(dates[change.first]),
        last=int(dates[change.last]),
        over_by=over_by,
        step=step,
        course=whole,
    )
