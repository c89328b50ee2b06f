"""When the radar of a zone changed, by the noise that windows of its size have in the ground round it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.breaks import (
    BreakParameters,
    BreakSearch,
    episode_dates,
    power_decibels,
    sample_decibels,
)
from changedet.core.parameters import Described
from changedet.core.radar_stack import Direction, check_stack, direction_of, temporal_reference
from changedet.core.series_change import ChangeDates
from changedet.core.series_noise import estimate_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.core.episodes import Episodes
    from changedet.core.series_noise import SeriesNoise

    Floats = NDArray[np.float32]

#: Pixels that teach level and noise, at least, or others are asked as well.
_ENOUGH_PIXELS = 2_000


@dataclass(frozen=True)
class ZoneBreakParameters(Described):
    """Parameters of `find_zone_breaks`.

    Attributes
    ----------
    breaks : BreakParameters
        How a series is searched; its `multilook_px` is not used.
    most_breaks : int
        Breaks that are looked for in one series.
    widest_px : int
        Side of the largest windows by which noise is measured, odd. Larger zones have less noise than these.
    darkest_db : float
        Ground that is usually darker than this in the first polarisation does not teach what is usual, where
        enough other ground does: calm water, which follows the wind.
    min_share : float
        Share of a zone that a date must see for its value to count.
    """

    breaks: BreakParameters = field(
        default_factory=lambda: BreakParameters(false_alarms=0.01, least_change_db=1.0, sample=5_000)
    )
    most_breaks: int = 3
    widest_px: int = 15
    darkest_db: float = -17.0
    min_share: float = 0.6

    def __post_init__(self) -> None:
        if self.most_breaks < 1 or self.widest_px < 1 or self.widest_px % 2 == 0:
            sides = f"{self.most_breaks} breaks in windows of {self.widest_px} px"
            message = f"{sides}: give at least 1, and an odd side"
            raise ValueError(message)
        if not 0 < self.min_share <= 1:
            message = f"a share of {self.min_share} is not above 0 and at most 1; give a share"
            raise ValueError(message)


@dataclass(frozen=True, eq=False)
class ZoneSeries:
    """What the passes of one track show of a zone.

    Attributes
    ----------
    power : ndarray of float32, shape (time, pol)
        Mean of the linear power of its pixels; NaN where a date sees too little of it.
    share : ndarray of float32, shape (time,)
        Share of its pixels that a date sees.
    pixels : int
        Number of its pixels.
    """

    power: Floats
    share: Floats
    pixels: int

    @property
    def used(self) -> NDArray[np.bool_]:
        """True for the dates that count, shape (time,)."""
        return np.asarray(np.isfinite(self.power).all(axis=1))


@dataclass(frozen=True, eq=False)
class RadarChange(ChangeDates):
    """A part of the series of a zone that stands apart from the rest; its dates are passes that see the zone.

    Attributes
    ----------
    change_db : ndarray of float32, shape (pol,)
        By how much its dates differ, in decibels; fitted with level, season and the other changes.
    direction : Direction
    score, threshold : float
        In standard deviations of noise.
    """

    change_db: Floats
    direction: Direction
    score: float
    threshold: float


@dataclass(frozen=True, eq=False)
class ZoneChanges:
    """The outcome of `find_zone_breaks` for one zone.

    Attributes
    ----------
    changes : tuple of RadarChange
        In order of time.
    level_db : ndarray of float32, shape (time, pol)
        By what each date as a whole is brighter than usual: rain, frost.
    noise : SeriesNoise
        Of windows of the size of the zone.
    side_px : int
        Side of these windows.
    score : float
        Of the strongest window of dates, whether it is a break or not; NaN where too few dates see the zone.
    threshold : float
        Score that simulated noise alone passes at the chosen share.
    """

    changes: tuple[RadarChange, ...]
    level_db: Floats
    noise: SeriesNoise
    side_px: int
    score: float
    threshold: float


def zone_series(stack: Floats, mask: NDArray[np.bool_], min_share: float) -> ZoneSeries:
    """Reduce the passes of a track to the mean power of a zone.

    Power is averaged, and not decibels: a mean of linear power keeps the power and reduces speckle.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one track; NaN where a date does not see a pixel.
    mask : ndarray of bool, shape (y, x)
        Pixels of the zone, at least one.
    min_share : float
        Share of them that a date must see.

    Returns
    -------
    ZoneSeries

    Raises
    ------
    ValueError
        When the stack is none of one orbit, or the zone has no pixel.

    Examples
    --------
    >>> found = zone_series(np.full((2, 1, 3, 3), 0.125, np.float32), np.ones((3, 3), bool), 0.5)
    >>> found.power.ravel().tolist(), found.share.tolist()
    ([0.125, 0.125], [1.0, 1.0])
    """
    check_stack(stack)
    if not mask.any():
        message = "the zone has no pixel; give a mask with one at least"
        raise ValueError(message)
    power = np.full(stack.shape[:2], np.nan, np.float32)
    share = np.zeros(len(stack), np.float32)
    for number, date in enumerate(stack):
        inside = date[:, mask]
        seen = np.isfinite(inside).all(axis=0)
        share[number] = seen.mean()
        if share[number] >= min_share:
            power[number] = inside[:, seen].mean(axis=1, dtype=np.float64)
    return ZoneSeries(power, share, int(mask.sum()))


def find_zone_breaks(
    stack: Floats,
    days: NDArray[np.float64],
    zones: Sequence[ZoneSeries],
    taught_by: NDArray[np.bool_],
    parameters: ZoneBreakParameters = ZoneBreakParameters(),
) -> tuple[ZoneChanges, ...]:
    """Find when zones stood apart from their own usual course, on one track.

    For each zone, the ground round it is averaged over squares that are as large as the zone, and from a
    sample of these the levels of the dates and the noise are estimated
    (`changedet.core.series_noise.estimate_noise`): what rain does to everything is nothing of the zone, and
    a mean of many pixels is steadier than that of few. The series of the zone, less levels and season, is
    searched for the window of dates that stands most apart (`changedet.core.episodes`), exactly as
    `changedet.core.breaks.find_breaks` does for every pixel; a zone of 3 x 3 pixels gives what the pixel in
    its middle gives there. A window that scores more than simulated noise and has changed by enough decibels
    is a break; its step is taken off, and the next one is looked for.

    Parameters
    ----------
    stack : ndarray of float32, shape (time, pol, y, x)
        Linear gamma nought of one track.
    days : ndarray of float64, shape (time,)
        Strictly ascending.
    zones : sequence of ZoneSeries
        From `zone_series` of the same stack.
    taught_by : ndarray of bool, shape (y, x)
        Ground that says what is usual; best outside the site, so that a change which fills it is not level.
    parameters : ZoneBreakParameters

    Returns
    -------
    tuple of ZoneChanges
        One for each zone; without changes where too few dates see it.

    Raises
    ------
    ValueError
        When the shapes disagree.
    """
    check_stack(stack)
    ground = _teaching_ground(stack, taught_by, parameters)
    searches: dict[int, tuple[BreakSearch, float]] = {}
    found = []
    for zone in zones:
        side = _side_of(zone.pixels, parameters.widest_px)
        if side not in searches:
            search = _search_of(stack, days, ground, side, parameters)
            searches[side] = search, search.threshold()
        search, threshold = searches[side]
        changes, score = _changes(zone, search, threshold, parameters)
        found.append(ZoneChanges(changes, search.noise.level_db, search.noise, side, score, threshold))
    return tuple(found)


def _side_of(pixels: int, widest_px: int) -> int:
    """Return the side of the largest square, odd, that holds no more pixels than a zone."""
    return min((int(np.sqrt(pixels)) - 1) // 2 * 2 + 1, widest_px)


def _teaching_ground(
    stack: Floats, taught_by: NDArray[np.bool_], parameters: ZoneBreakParameters
) -> NDArray[np.bool_]:
    """Return pixels that say what is usual: seen often, and no calm water where there is enough else."""
    usual = temporal_reference(stack[:, :1])[0]
    often = np.isfinite(stack).all(axis=1).mean(axis=0) >= 0.5
    seen = np.asarray(taught_by & often)
    if not seen.any():
        seen = np.isfinite(usual)
    land = seen & (power_decibels(usual) > parameters.darkest_db)
    return np.asarray(land if land.sum() >= min(_ENOUGH_PIXELS, 0.25 * seen.sum()) else seen)


def _search_of(
    stack: Floats,
    days: NDArray[np.float64],
    ground: NDArray[np.bool_],
    side: int,
    parameters: ZoneBreakParameters,
) -> BreakSearch:
    breaks = replace(parameters.breaks, multilook_px=side)
    noise = estimate_noise(sample_decibels(stack, ground, breaks), days, breaks.season)
    return BreakSearch.of(days, noise, breaks)


def _changes(
    zone: ZoneSeries, search: BreakSearch, threshold: float, parameters: ZoneBreakParameters
) -> tuple[tuple[RadarChange, ...], float]:
    """Return the breaks of one zone in order of time, and the score of its strongest window of dates."""
    seen = zone.used[:, None]
    if int(seen.sum()) < parameters.breaks.least_dates:
        return (), math.nan
    series = power_decibels(zone.power) - search.noise.level_db
    series = np.where(seen, series, np.float32(np.nan))
    left, first_score = series, math.nan
    windows: list[NDArray[np.bool_]] = []
    episodes: list[Episodes] = []
    sizes = np.zeros((0, series.shape[1]), np.float32)
    while len(windows) < parameters.most_breaks:
        episode, _ = search.judge(left[:, :, None], seen)
        first_score = float(episode.score[0]) if math.isnan(first_score) else first_score
        tried = [*windows, episode.holds(seen)[:, 0]]
        fitted = _sizes(series, search.design, tried)
        if episode.score[0] <= threshold or np.abs(fitted[-1]).max() < parameters.breaks.least_change_db:
            break
        windows, sizes = tried, fitted
        episodes.append(episode)
        left = series - np.stack(windows, axis=1).astype(np.float32) @ sizes
    changes = [_change(one, size, seen, threshold) for one, size in zip(episodes, sizes, strict=True)]
    return tuple(sorted(changes, key=lambda one: one.first)), first_score


def _sizes(series: Floats, design: NDArray[np.float64], windows: Sequence[NDArray[np.bool_]]) -> Floats:
    """Return by how much windows differ, (window, pol), fitted together with level and season."""
    terms = np.concatenate([design, np.stack(windows, axis=1)], axis=1)
    used = np.isfinite(series).all(axis=1)
    fitted = np.linalg.pinv(terms[used]) @ series[used].astype(np.float64)
    return np.asarray(fitted[design.shape[1] :], np.float32)


def _change(episode: Episodes, change_db: Floats, seen: NDArray[np.bool_], threshold: float) -> RadarChange:
    first, before, last = (int(one[0]) for one in episode_dates(seen, episode))
    later = np.flatnonzero(seen[:, 0])
    later = later[later > last]
    return RadarChange(
        unchanged_until=before,
        first=first,
        last=last,
        over_by=int(later[0]) if later.size else None,
        change_db=change_db,
        direction=Direction(int(direction_of(change_db[:, None, None])[0, 0])),
        score=float(episode.score[0]),
        threshold=threshold,
    )
