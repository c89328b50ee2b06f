"""When did it change? Disturbance at an unknown date in a series of radar."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.blocks import THREADS, run_blocks, tiles
from changedet.core.episodes import (
    EpisodeNoise,
    EpisodeParameters,
    Episodes,
    episode_noise,
    episode_steps,
    restlessness,
    strongest_episode,
)
from changedet.core.radar_stack import DECIBELS, LEAST_POWER, check_stack, direction_of, usable_dates
from changedet.core.sampling import sample_index
from changedet.core.season import SeasonParameters, season_design, season_residual
from changedet.core.series_noise import SeriesNoise, estimate_noise
from changedet.core.speckle import multilook
from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Marks a pixel without a date.
NO_DATE = -1
#: Numbers of a block's buffers: many pixels cost few calls, few stay in the cache.
_BLOCK_NUMBERS = 200_000


@dataclass(frozen=True)
class BreakParameters:
    """Parameters of `find_breaks`.

    Attributes
    ----------
    multilook_px : int
        Side of the square over which power is averaged first, odd.
    season : SeasonParameters
    episode : EpisodeParameters
    false_alarms : float
        Share of pixels of noise alone whose strongest episode passes the threshold.
    own_noise : bool
        Whether the scores of pixels that move more than is usual are divided by how much more
        (`changedet.core.episodes.restlessness`).
    least_change_db : float
        Change of some polarisation that a pixel must reach besides, to be flagged. The sensor itself is
        steady to about 0.5 dB.
    least_dates : int
        Pixels that fewer dates see are not judged.
    between_days : tuple of float, or None
        An episode begins on a date from the first to the second of these days; None = anywhere.
    sample : int
        Pixels, at most, from which levels and noise are estimated.
    seed : int
        Of the sample and of the simulated noise.
    """

    multilook_px: int = 3
    season: SeasonParameters = field(default_factory=SeasonParameters)
    episode: EpisodeParameters = field(default_factory=EpisodeParameters)
    false_alarms: float = 0.05
    own_noise: bool = True
    least_change_db: float = 0.5
    least_dates: int = 12
    between_days: tuple[float, float] | None = None
    sample: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or self.least_dates < 3 or self.sample < 1:
            message = (
                f"a share of false alarms of {self.false_alarms}, {self.least_dates} dates, "
                f"a sample of {self.sample}: give a share between 0 and 1, 3 dates, 1 pixel or more"
            )
            raise ValueError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "multilook_px": self.multilook_px,
            "season": self.season.to_dict(),
            "episode": self.episode.to_dict(),
            "false_alarms": self.false_alarms,
            "own_noise": self.own_noise,
            "least_change_db": self.least_change_db,
            "least_dates": self.least_dates,
            "between_days": None if self.between_days is None else list(self.between_days),
            "sample": self.sample,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class Breaks:
    """The outcome of `find_breaks`.

    Attributes
    ----------
    score : ndarray of float32, shape (y, x)
        How far the strongest episode stands apart, in standard deviations of noise; NaN where not judged.
    flagged : ndarray of bool, shape (y, x)
        Candidates: where the score passes the threshold, and the change is large enough.
    threshold : float
        Score that simulated noise alone passes at the chosen share of pixels. Ground that behaves otherwise
        in some years (crops, floods) passes it more often.
    first : ndarray of int16, shape (y, x)
        The first date of the episode; `NO_DATE` where none can be told.
    unchanged_until : ndarray of int16, shape (y, x)
        The last date before that sees the pixel: the change lies between the two.
    last : ndarray of int16, shape (y, x)
        The last date of the episode that sees the pixel; of a lasting change the last date of all.
    change_db : ndarray of float32, shape (pol, y, x)
        Mean of the episode less mean of the other dates, in decibels, without levels and season.
    direction : ndarray of uint8, shape (y, x)
        Codes of `changedet.core.radar_stack.Direction`.
    noise : SeriesNoise
    days : ndarray of float64, shape (time,)
        As given.
    """

    score: NDArray[np.float32]
    flagged: NDArray[np.bool_]
    threshold: float
    first: NDArray[np.int16]
    unchanged_until: NDArray[np.int16]
    last: NDArray[np.int16]
    change_db: NDArray[np.float32]
    direction: NDArray[np.uint8]
    noise: SeriesNoise
    days: NDArray[np.float64] = field(repr=False)

    def interval_days(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return between which days each pixel changed.

        Returns
        -------
        tuple of two ndarray of float64, shape (y, x)
            The day of the last date before and that of the first date after; NaN where there is none.
        """
        days = np.append(self.days, np.nan)  # NO_DATE is the last index
        return days[self.unchanged_until], days[self.first]


def find_breaks(
    stack: NDArray[np.float32], days: NDArray[np.float64], parameters: BreakParameters = BreakParameters()
) -> Breaks:
    """Find when each pixel stood most apart from its own usual course.

    Power is averaged over squares and turned into decibels. From each date the level of the scene is taken,
    and from each pixel its own level and season (`changedet.core.season`). Of what is left, the window of
    dates that stands most apart from the rest of the series, in all polarisations together, is the episode
    (`changedet.core.episodes`): a clearing that grows over again within months is one, and a lasting change
    is one that reaches the end. Its score is in standard deviations of noise, part of which fades over weeks
    (`changedet.core.series_noise`); the threshold is what simulated series of such noise alone reach.

    An episode that is there from the first date on cannot be told from the usual course, and is reported as
    a lasting change the other way where it ends.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one relative orbit; NaN where a date does not see a pixel. Slices of one pass
        are merged before.
    days : ndarray of float64, shape (time,)
        Of each date, from any origin, strictly ascending.
    parameters : BreakParameters

    Returns
    -------
    Breaks

    Raises
    ------
    ValueError
        When the shapes disagree, or the days do not ascend.
    NoUsableImageryError
        When no pixel is seen by enough dates.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> stack = rng.gamma(20, 0.1 / 20, (40, 2, 24, 24)).astype(np.float32)
    >>> stack[25:31, :, 8:16, 8:16] *= 0.4
    >>> breaks = find_breaks(stack, 12.0 * np.arange(40))
    >>> int(breaks.unchanged_until[11, 11]), int(breaks.first[11, 11]), int(breaks.last[11, 11])
    (24, 25, 30)
    """
    _check(stack, days)
    days = np.asarray(days, np.float64)
    counted = sum(np.isfinite(date).all(axis=0).astype(np.int16) for date in stack)
    judged = np.asarray(counted >= parameters.least_dates)
    if not judged.any():
        message = f"no pixel is seen by {parameters.least_dates} dates or more"
        raise NoUsableImageryError(message, todo="give more dates, or lower least_dates")
    noise = estimate_noise(sample_decibels(stack, judged, parameters), days, parameters.season)
    search = BreakSearch.of(days, noise, parameters)
    out = _empty(stack)

    def _work(tile: tuple[slice, slice]) -> None:
        _judge_tile(stack, tile, search, out)

    run_blocks(_work, tiles(judged.shape, _tile_px(stack)), THREADS)
    for plane in (out.first, out.unchanged_until, out.last):
        plane[~judged] = NO_DATE
    out.score[~judged], out.change_db[:, ~judged] = np.nan, np.nan
    threshold = search.threshold()
    large = (np.abs(out.change_db) >= parameters.least_change_db).any(axis=0)
    return Breaks(
        out.score,
        (out.score > threshold) & large,
        threshold,
        out.first,
        out.unchanged_until,
        out.last,
        out.change_db,
        direction_of(out.change_db),
        noise,
        days,
    )


@dataclass(frozen=True, eq=False)
class BreakSearch:
    """How series of one track are searched: what is the same for all pixels.

    Attributes
    ----------
    parameters : BreakParameters
    noise : SeriesNoise
        Levels and noise of the ground round them.
    design : ndarray of float64, shape (time, term)
        Of the season.
    in_common : ndarray of float64, shape (time, time)
        What dates have in common of noise of variance 1.
    windows : EpisodeNoise
        What noise alone does to each window of dates.
    starts : ndarray of int, shape (start,)
        Dates at which an episode may begin.
    """

    parameters: BreakParameters
    noise: SeriesNoise
    design: NDArray[np.float64]
    in_common: NDArray[np.float64]
    windows: EpisodeNoise
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, days: NDArray[np.float64], noise: SeriesNoise, parameters: BreakParameters) -> BreakSearch:
        """Prepare the search of series.

        Parameters
        ----------
        days : ndarray of float64, shape (time,)
            Ascending.
        noise : SeriesNoise
            Of these dates.
        parameters : BreakParameters

        Returns
        -------
        BreakSearch
        """
        low, high = parameters.between_days or (-np.inf, np.inf)
        in_common = noise.in_common(days)
        return cls(
            parameters,
            noise,
            season_design(days, parameters.season),
            in_common,
            episode_noise(noise.correlation, noise.spread_db, in_common),
            np.flatnonzero((days >= low) & (days <= high)),
        )

    def judge(
        self, series_db: NDArray[np.float32], seen: NDArray[np.bool_]
    ) -> tuple[Episodes, NDArray[np.float32]]:
        """Find the strongest episode of each series.

        Parameters
        ----------
        series_db : ndarray of float32, shape (time, pol, pixel)
            Decibels without the levels of the dates; NaN where not seen.
        seen : ndarray of bool, shape (time, pixel)
            Where a date sees the pixel in every polarisation.

        Returns
        -------
        found : Episodes
        steps : ndarray of float32, shape (pol, pixel)
            By how much the episode differs from the rest, in decibels.
        """
        residual = np.empty_like(series_db)
        for pol, spread in enumerate(self.noise.spread_db):
            residual[:, pol] = season_residual(
                series_db[:, pol], self.design, float(spread), self.parameters.season
            )
        found = strongest_episode(residual, seen, self.windows, self.starts, self.parameters.episode)
        steps = episode_steps(residual, seen, found)
        if not self.parameters.own_noise:
            return found, steps
        restless = restlessness(residual, seen, found, steps, self.noise.spread_db)
        return Episodes(found.score / restless, found.start, found.stop), steps

    def threshold(self, series: int = 2000) -> float:
        """Simulate series of noise alone.

        Parameters
        ----------
        series : int
            How many.

        Returns
        -------
        float
            The score that the chosen share of them pass.
        """
        dates, (pols, _) = len(self.in_common), self.noise.correlation.shape
        own = 1 - self.in_common[0, 0]
        colour = np.linalg.cholesky(self.in_common + own * np.eye(dates))
        white = np.random.default_rng(self.parameters.seed).standard_normal((dates, pols, series))
        bands = self.windows.colour * self.noise.spread_db[:, None]
        made = np.einsum("qp,tu,upn->tqn", bands, colour, white, optimize=True).astype(np.float32)
        seen = np.ones((dates, series), bool)
        found, _ = self.judge(made, seen)
        return float(np.quantile(found.score, 1 - self.parameters.false_alarms))


@dataclass(frozen=True, eq=False)
class _Planes:
    """Where tiles write."""

    score: NDArray[np.float32]
    first: NDArray[np.int16]
    unchanged_until: NDArray[np.int16]
    last: NDArray[np.int16]
    change_db: NDArray[np.float32]


def _check(stack: NDArray[np.float32], days: NDArray[np.float64]) -> None:
    check_stack(stack)
    if np.shape(days) != stack.shape[:1]:
        message = f"days of shape {np.shape(days)} do not fit {len(stack)} dates; give one day for each date"
        raise ValueError(message)
    if not (np.diff(days) > 0).all():
        message = "the days of the dates do not ascend; sort the dates, and merge the slices of one pass"
        raise ValueError(message)


def _empty(stack: NDArray[np.float32]) -> _Planes:
    shape = stack.shape[2:]
    first, unchanged_until, last = np.full((3, *shape), NO_DATE, np.int16)
    change_db = np.zeros(stack.shape[1:], np.float32)
    return _Planes(np.zeros(shape, np.float32), first, unchanged_until, last, change_db)


def _tile_px(stack: NDArray[np.float32]) -> tuple[int, int]:
    side = max(8, int(np.sqrt(_BLOCK_NUMBERS / (len(stack) * stack.shape[1]))))
    return side, side


def power_decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn linear power into decibels.

    Parameters
    ----------
    power : ndarray of float32, any shape

    Returns
    -------
    ndarray of float32, same shape
        -60 dB at least; NaN where it is NaN.
    """
    return np.asarray(np.float32(DECIBELS) * np.log(np.maximum(power, np.float32(LEAST_POWER))))


def sample_decibels(
    stack: NDArray[np.float32], taught_by: NDArray[np.bool_], parameters: BreakParameters
) -> NDArray[np.float32]:
    """Return decibels of a sample of the pixels, averaged over squares, one date in memory at a time.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one track.
    taught_by : ndarray of bool, shape (y, x)
        Pixels of which the sample is taken.
    parameters : BreakParameters
        Side of the squares, size of the sample, its seed.

    Returns
    -------
    ndarray of float32, shape (time, pol, pixel)
        NaN where a date does not see the pixel in every polarisation.
    """
    index = sample_index(taught_by, parameters.sample, parameters.seed)
    out = np.empty((*stack.shape[:2], index.size), np.float32)
    for date, row in zip(stack, out, strict=True):
        averaged = multilook(date, parameters.multilook_px).reshape(len(date), -1)[:, index]
        row[:] = np.where(np.isfinite(averaged).all(axis=0), power_decibels(averaged), np.float32(np.nan))
    return out


def _judge_tile(
    stack: NDArray[np.float32], tile: tuple[slice, slice], plan: BreakSearch, out: _Planes
) -> None:
    """Write what one tile shows; averaging sees the pixels round it."""
    margin = plan.parameters.multilook_px // 2
    around = tuple(slice(max(part.start - margin, 0), part.stop + margin) for part in tile)
    inner = tuple(
        slice(part.start - wide.start, part.stop - wide.start)
        for part, wide in zip(tile, around, strict=True)
    )
    cut = np.ascontiguousarray(stack[:, :, around[0], around[1]])
    power = multilook(cut, plan.parameters.multilook_px)[:, :, inner[0], inner[1]]
    seen = usable_dates(power).reshape(len(stack), -1)
    series = power_decibels(power).reshape(*stack.shape[:2], -1) - plan.noise.level_db[:, :, None]
    series = np.where(seen[:, None], series, np.float32(np.nan))
    found, steps = plan.judge(series, seen)
    shape = power.shape[2:]
    out.score[tile] = found.score.reshape(shape)
    dates = episode_dates(seen, found)
    for plane, values in zip((out.first, out.unchanged_until, out.last), dates, strict=True):
        plane[tile] = np.where(found.score > 0, values, NO_DATE).reshape(shape)
    out.change_db[(slice(None), *tile)] = steps.reshape(-1, *shape)


def episode_dates(
    seen: NDArray[np.bool_], found: Episodes
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """Return the dates that see a pixel first in its window, last before it, and last in it.

    Parameters
    ----------
    seen : ndarray of bool, shape (time, pixel)
    found : Episodes

    Returns
    -------
    first, unchanged_until, last : ndarray of int16, shape (pixel,)
        `NO_DATE` where there is none before, or none in it.
    """
    number = np.arange(len(seen), dtype=np.int16)[:, None]
    inside, before = found.holds(seen), seen & (number < found.start)
    first = np.where(inside, number, np.int16(len(seen))).min(axis=0)
    return first, np.where(before, number, NO_DATE).max(axis=0), np.where(inside, number, NO_DATE).max(axis=0)
