"""The passes of each track reduced to series of zones: mean power, breaks, and what is usual besides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.season import YEAR_DAYS
from changedet.core.zone_breaks import RadarChange, ZoneChanges, ZoneSeries, find_zone_breaks, zone_series
from changedet.errors import NoUsableImageryError
from changedet.radar.comparison import shared_polarisations, stack_passes, teaching_ground
from changedet.radar.series import RadarBreak, RadarSeries, RadarSeriesSettings, TrackSeries, TrackZone
from changedet.scale.memory import require_memory
from changedet.timeline.access import LeftOut, sorted_left
from changedet.timeline.reading import DateRecord
from changedet.timeline.usual import break_state, usual_course

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.frame import Frame
    from changedet.progress import Progress
    from changedet.radar.series_access import RadarSeriesPlan, TrackSource
    from changedet.radar.types import Track
    from changedet.scene import Image
    from changedet.timeline.zones import Zone

    Floats = NDArray[np.float32]

#: What a pass takes for each pixel over what is reckoned for a band: its planes, and twice the stack of them.
_BANDS_A_PASS = 0.75
_DEFAULT_SETTINGS = RadarSeriesSettings()


@dataclass(frozen=True, eq=False)
class _Passes:
    """What all zones of a track share."""

    track: Track
    bands: tuple[str, ...]
    dates: tuple[DateRecord, ...]
    knows_season: bool

    @property
    def days(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 of each pass."""
        return np.array([one.day for one in self.dates], np.float64)


def read_radar_series(
    plan: RadarSeriesPlan,
    zones: Sequence[Zone],
    frame: Frame,
    progress: Progress,
    settings: RadarSeriesSettings = _DEFAULT_SETTINGS,
) -> RadarSeries:
    """Read the passes of a plan, track by track, and reduce them to series of zones.

    Nothing is averaged over tracks: a wall that faces the radar on one track does not on another. One track
    is in memory at a time.

    Parameters
    ----------
    plan : RadarSeriesPlan
        Which passes.
    zones : sequence of Zone
        On the grid of the results.
    frame : Frame
        The grid of the results inside the grid on which passes are read: the ground round the site says what
        rain and frost do to all.
    progress : Progress
        Told about each step.
    settings : RadarSeriesSettings

    Returns
    -------
    RadarSeries

    Raises
    ------
    NoUsableImageryError
        When no track has passes left that can be read.
    UsageError
        When the passes of a track do not fit into memory.
    ProviderError, CredentialsError, InputFileError
        When the service fails, or too many passes cannot be read.
    """
    found: list[TrackSeries] = []
    left = list(plan.left_out)
    for source in plan.tracks:
        require_memory(frame.context, math.ceil(_BANDS_A_PASS * len(source.scenes)))
        progress.step(f"reading radar of {source.track.label}: {len(source.scenes)} passes")
        images, more = _loaded(source, frame, progress)
        left += more
        if len(images) >= settings.least_passes:
            found.append(_track_series(source.track, images, zones, frame, settings))
        else:
            what = f"only {len(images)} pass(es) of {source.track.label} can be read"
            left += [LeftOut.of(image.scene, what) for image in images]
    if not found:
        raise NoUsableImageryError(
            f"no track of radar has {settings.least_passes} passes that can be read",
            todo="choose a longer span, or another --radar-provider",
            details={"left_out": [one.to_dict() for one in left]},
        )
    ordered = sorted(found, key=lambda one: (-len(one.dates), one.track.label))
    return RadarSeries(plan.provider, tuple(ordered), sorted_left(left), plan.notes)


def radar_notes(series: RadarSeries) -> tuple[str, ...]:
    """Return what a reader should know of a series besides its breaks: of its source, and of each track."""
    told = list(series.notes)
    for one in series.tracks:
        told += [f"{one.track.label}: {note}" for note in one.notes]
        years = (one.dates[-1].day - one.dates[0].day) / YEAR_DAYS
        if not one.knows_season:
            told.append(f"{one.track.label}: {years:.1f} years of passes do not tell season from change")
    return tuple(told)


def _loaded(
    source: TrackSource, frame: Frame, progress: Progress
) -> tuple[tuple[Image, ...], tuple[LeftOut, ...]]:
    """Load the passes of a track; of two of one time the first counts, and each has a time."""
    images, left = source.load(frame.context, progress)
    kept: dict[str, Image] = {}
    more = list(left)
    for image in images:
        if image.scene.time is None:
            more.append(LeftOut.of(image.scene, "nothing says when it was taken"))
        elif (other := kept.setdefault(image.scene.time_text, image)) is not image:
            more.append(LeftOut.of(image.scene, f"the same time as {other.scene.id}"))
    return tuple(kept[key] for key in sorted(kept)), tuple(more)


def _track_series(
    track: Track,
    images: Sequence[Image],
    zones: Sequence[Zone],
    frame: Frame,
    settings: RadarSeriesSettings,
) -> TrackSeries:
    bands = shared_polarisations(images, track)
    stack = stack_passes(images, bands)
    dates = tuple(_record(image, stack.offsets) for image in images)
    years = settings.breaks.breaks.season.least_years
    knows_season = dates[-1].day - dates[0].day >= years * YEAR_DAYS
    passes = _Passes(track, bands, dates, knows_season)
    masks = [_on_context(zone.mask, frame) for zone in zones]
    series = [zone_series(stack.power, mask, settings.breaks.min_share) for mask in masks]
    observed: NDArray[np.bool_] = np.asarray(np.isfinite(stack.power).all(axis=1).any(axis=0))
    teaches = teaching_ground(observed, masks[0])
    changes = find_zone_breaks(stack.power, passes.days, series, teaches, settings.breaks)
    alone = not (teaches & ~masks[0]).any()
    made = (
        _track_zone(zone, passes, (one, found), settings, levelled_by_itself=alone)
        for zone, one, found in zip(zones, series, changes, strict=True)
    )
    return TrackSeries(track, bands, dates, tuple(made), knows_season, stack.notes)


def _on_context(mask: NDArray[np.bool_], frame: Frame) -> NDArray[np.bool_]:
    whole = np.zeros(tuple(frame.context.shape), bool)
    whole[frame.window] = mask
    return whole


def _record(image: Image, offsets: Mapping[str, tuple[float, float]]) -> DateRecord:
    time = image.scene.time
    if time is None:
        raise NoUsableImageryError("a pass without a time", where=image.scene.id, todo="leave it out")
    apart = offsets.get(image.scene.platform)
    how = "as its producer placed it" if apart is None else "with all passes of its satellite"
    shift = (0.0, 0.0) if apart is None else (-apart[0] + 0.0, -apart[1] + 0.0)
    return DateRecord(image.scene, time.timestamp() / 86400, shift, how)


def _track_zone(
    zone: Zone,
    passes: _Passes,
    measured: tuple[ZoneSeries, ZoneChanges],
    settings: RadarSeriesSettings,
    *,
    levelled_by_itself: bool,
) -> TrackZone:
    """Describe a zone on one track: its breaks, and what is usual besides."""
    track, days = passes.track, passes.days
    series, found = measured
    used, least = series.used, settings.breaks.breaks.least_dates
    notes = []
    if int(used.sum()) < least:
        count = int(used.sum())
        notes.append(f"{track.label}: {count} pass(es) show it, and breaks are looked for from {least} on")
    elif levelled_by_itself and zone.kind == "site":
        notes.append(
            f"{track.label}: no ground round the site says what rain and frost did, so that a change of "
            "all of it does not show"
        )
    plain = TrackZone(
        zone.name,
        series,
        found.level_db,
        None,
        *(np.full_like(found.level_db, np.nan),) * 2,
        (),
        tuple(notes),
    )
    left = plain.levelled_db
    for change in found.changes:
        left = left - change.inside(len(days)).astype(np.float32)[:, None] * change.change_db
    baseline, expected, sigma = usual_course(left, days, settings.baseline)
    breaks = tuple(_break(one, passes, used) for one in found.changes)
    return replace(
        plain, baseline=baseline if np.isfinite(expected).any() else None, expected=expected, sigma=sigma,
        breaks=breaks, changes_sought=int(used.sum()) >= least,
    )  # fmt: skip


def _break(change: RadarChange, passes: _Passes, used: NDArray[np.bool_]) -> RadarBreak:
    dates = passes.dates
    inside = int((change.inside(len(dates)) & used).sum())
    state = break_state(
        over=change.over_by is not None,
        dates=inside,
        days=dates[change.last].day - dates[change.first].day,
        knows_season=passes.knows_season,
    )
    return RadarBreak(
        track=passes.track,
        after=dates[change.unchanged_until].date,
        by=dates[change.first].date,
        last_seen=dates[change.last].date,
        over_by="" if change.over_by is None else dates[change.over_by].date,
        state=state,
        direction=change.direction.name.lower(),
        steps_db=dict(zip(passes.bands, change.change_db.tolist(), strict=True)),
        passes_before=int(used[: change.first].sum()),
        passes_inside=inside,
        change=change,
    )
