"""Whether optical images and radar saw the same break of a zone, and what radar saw while it was cloudy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.periods import day_of
from changedet.radar.fusion import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.radar.series import RadarBreak, RadarSeries, TrackSeries, TrackZone
    from changedet.timeline.types import Timeline, ZoneBreak, ZoneTimeline

#: Breaks of both sensors whose intervals lie no further apart are one: works take weeks, and of small changes
#: radar tells the date to about as much.
SAME_DAYS = 60.0
#: Passes on each side of an interval without which a track has nothing to say of it.
_LEAST_BEFORE, _LEAST_AFTER = 3, 2
#: Between clear dates further apart than this, and by so much more than is usual of the series, is a gap.
GAP_DAYS, _GAP_TIMES = 30.0, 1.5


class SeenBy(StrEnum):
    """Which sensors saw a break."""

    BOTH = "both"
    CONFLICTING = "conflicting"
    OPTICAL_ONLY = "optical only"
    RADAR_ONLY = "radar only"
    RADAR_HAD_NOTHING = "radar had nothing in that period"


@dataclass(frozen=True, eq=False)
class BreakOpinion:
    """A break, with what the other sensor says of it.

    Attributes
    ----------
    seen_by : SeenBy
        Which sensors saw it.
    optical : ZoneBreak or None
        None where radar alone saw it.
    radar : tuple of RadarBreak
        Of the tracks that saw it; of `SeenBy.RADAR_ONLY` just one.
    gap : tuple of str, or None
        Of a break that radar alone saw: the clear optical dates round the gap in which it began.
    """

    seen_by: SeenBy
    optical: ZoneBreak | None
    radar: tuple[RadarBreak, ...]
    gap: tuple[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        optical, radar = self.optical, self.radar
        return {
            "seen_by": str(self.seen_by),
            "optical": None if optical is None else {"after": optical.after, "by": optical.by},
            "radar": [_interval(one) for one in radar],
            "within_optical_gap": None if self.gap is None else list(self.gap),
        }


@dataclass(frozen=True, eq=False)
class GapReport:
    """A time without a clear optical date, and what radar has in it.

    Attributes
    ----------
    after, by : str
        The last clear date before and the first one after; the ends of the radar series where there is none.
    days : tuple of float
        The same in days since 1970-01-01.
    passes : int
        Radar passes within that count, of all tracks.
    breaks : tuple of RadarBreak
        That began within.
    """

    after: str
    by: str
    days: tuple[float, float]
    passes: int
    breaks: tuple[RadarBreak, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "after": self.after,
            "by": self.by,
            "radar_passes": self.passes,
            "radar_breaks": [_interval(one) for one in self.breaks],
        }


def break_opinions(timeline: Timeline, zone: ZoneTimeline) -> tuple[BreakOpinion, ...]:
    """Say of each break of a zone which sensors saw it.

    Two breaks are the same when their intervals overlap or lie no more than 60 days apart. They conflict
    where the kind that the reflectances suggest makes radar go the other way
    (`changedet.radar.fusion.EXPECTED`). Radar has nothing to say where no track has three passes before and
    two after.

    Parameters
    ----------
    timeline : Timeline
        With radar.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    tuple of BreakOpinion
        In order of time; empty without radar, and of zones that radar does not follow.
    """
    series = timeline.radar
    if series is None or not series.zones_of(zone.zone.name):
        return ()
    same: list[list[RadarBreak]] = [[] for _ in zone.breaks]
    left: list[RadarBreak] = []
    for other in series.breaks_of(zone.zone.name):
        apart = [_apart_days(one, other) for one in zone.breaks]
        nearest = int(np.argmin(apart)) if apart else 0
        (same[nearest] if apart and apart[nearest] <= SAME_DAYS else left).append(other)
    found = [
        BreakOpinion(_seen_by(one, own, series, zone.zone.name), one, tuple(own))
        for one, own in zip(zone.breaks, same, strict=True)
    ]
    gaps = optical_gaps(timeline, zone)
    for other in left:
        gap = next((one for one in gaps if other in one.breaks), None)
        within = None if gap is None else (gap.after, gap.by)
        found.append(BreakOpinion(SeenBy.RADAR_ONLY, None, (other,), within))
    return tuple(sorted(found, key=_begin))


def optical_gaps(timeline: Timeline, zone: ZoneTimeline) -> tuple[GapReport, ...]:
    """Say between which dates no clear optical one shows a zone, and what radar has of that time.

    Parameters
    ----------
    timeline : Timeline
        With radar; without, or without any optical date, there is nothing to say.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    tuple of GapReport
        In order of time, of gaps longer than 30 days and than 1.5 times the median between clear dates.
    """
    series = timeline.radar
    pairs = () if series is None else series.zones_of(zone.zone.name)
    if series is None or not pairs or not timeline.dates:
        return ()
    clear = timeline.days[zone.used]
    ends = [edge for track, _ in pairs for edge in (track.days[0], track.days[-1])]
    marks = np.unique(np.concatenate([clear, [min(*ends, *clear), max(*ends, *clear)]]))
    usual = float(np.median(np.diff(clear))) if len(clear) > 1 else 0.0
    least = max(GAP_DAYS, _GAP_TIMES * usual)
    return tuple(
        _gap(float(start), float(stop), pairs) for start, stop in pairwise(marks) if stop - start > least
    )


def _gap(start: float, stop: float, pairs: Sequence[tuple[TrackSeries, TrackZone]]) -> GapReport:
    passes, breaks = 0, []
    for track, zone in pairs:
        inside = (track.days > start) & (track.days < stop) & zone.used
        passes += int(inside.sum())
        breaks += [one for one in zone.breaks if start < track.days[one.change.first] < stop]
    after, by = (str(np.datetime64(int(day), "D")) for day in (start, stop))
    return GapReport(after, by, (start, stop), passes, tuple(breaks))


def _interval(one: RadarBreak) -> dict[str, str]:
    return {"track": one.track.label, "after": one.after, "by": one.by}


def _begin(one: BreakOpinion) -> str:
    return one.radar[0].by if one.optical is None else one.optical.by


def _apart_days(one: ZoneBreak, other: RadarBreak) -> float:
    """Return the days between two intervals; 0 or less where they overlap."""
    return max(day_of(other.after) - day_of(one.by), day_of(one.after) - day_of(other.by))


def _seen_by(one: ZoneBreak, same: Sequence[RadarBreak], series: RadarSeries, zone: str) -> SeenBy:
    if not same:
        return SeenBy.OPTICAL_ONLY if _has_passes(one, series, zone) else SeenBy.RADAR_HAD_NOTHING
    # a road or a clearing may go either way
    expected = {kind.name.lower(): way.name.lower() for kind, way in EXPECTED.items()}.get(one.found.kind)
    fits = expected is None or bool({expected, "mixed"} & {other.direction for other in same})
    return SeenBy.BOTH if fits else SeenBy.CONFLICTING


def _has_passes(one: ZoneBreak, series: RadarSeries, zone: str) -> bool:
    """Tell whether some track has passes enough on both sides of a break to have seen it."""
    before, after = day_of(one.after), day_of(one.by)
    return any(
        _count(days[used] <= before) >= _LEAST_BEFORE and _count(days[used] >= after) >= _LEAST_AFTER
        for days, used in ((track.days, found.used) for track, found in series.zones_of(zone))
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(mask.sum())
