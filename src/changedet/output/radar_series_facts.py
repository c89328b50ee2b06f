"""What a reader is told of radar through time: breaks, who saw them, what radar saw while it was cloudy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changedet.core.radar_stack import Direction
from changedet.output.facts import clean
from changedet.radar.agreement import BreakOpinion, SeenBy, break_opinions, optical_gaps
from changedet.radar.fusion import CONSISTENT_WITH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.radar.agreement import GapReport
    from changedet.radar.series import RadarBreak, RadarSeries
    from changedet.timeline.types import Timeline, ZoneTimeline

#: What stands on every page with radar.
RADAR_CAUTION = (
    "Radar answers to metal, walls, rough ground and water; vehicles, ships, crops, snow and wet ground "
    "change it as well. Its breaks say that the ground sends back more or less, and not what stands there."
)
#: What stands on every page of radar alone besides.
ALONE_CAUTIONS = (
    "A break is a candidate for a reader to check against optical imagery or another source. Its date is the "
    "interval between two passes of one track, never a single day.",
    "No break means that the passes gave no reason to call one. What lasts less than two passes, or is "
    "smaller than the zone, does not show.",
    "Level and season are learnt from the same passes. A change on the first or last of them can hide.",
)
#: What each state of a break of radar means.
RADAR_STATES = {
    "persisting": "shows on at least three passes over a month or more, up to the last one",
    "provisional": "shows on few passes so far, or on a series too short to know the season; look again",
    "over": "does not show any more on later passes",
}
#: Most gaps between clear optical dates that are told of one zone, the longest.
_MOST_GAPS = 4


def radar_break_sentence(*breaks: RadarBreak) -> str:
    """Say when a zone became brighter or darker for radar, by how much, and whether it still is.

    Parameters
    ----------
    *breaks : RadarBreak
        Of a zone, one for each track that saw it, at least one.

    Returns
    -------
    str
        One sentence, without the point at its end. How it went on is told of the first track.
    """
    one = breaks[0]
    when = "from between" if one.state == "over" else "since between"
    text = " and ".join(
        f"{step_text(each)} {when} {each.after} and {each.by} ({each.track.label})" for each in breaks
    )
    ways = {each.direction for each in breaks}
    if len(ways) == 1 and one.direction in _CONSISTENT:
        text += f", {_CONSISTENT[one.direction]}"
    if one.state == "over":
        return f"{text}; it showed until {one.last_seen} and no longer on {one.over_by}"
    if one.state == "provisional":
        return (
            f"{text}; provisional: so far {one.passes_inside} pass(es) show it, the last on {one.last_seen}"
        )
    return f"{text}; it still shows on {one.last_seen}, after {one.passes_inside} passes"


def step_text(one: RadarBreak) -> str:
    """Say which way radar went and by how much, such as ``brighter by 5.9 dB (VV +5.9, VH +5.8)``."""
    each = ", ".join(f"{name} {value:+.1f}" for name, value in one.steps_db.items())
    if one.direction == "mixed":
        return f"changed by {each} dB"
    return f"{one.direction} by {abs(one.mean_db):.1f} dB" + (f" ({each})" if len(one.steps_db) > 1 else "")


def radar_sentences(timeline: Timeline, zone: ZoneTimeline) -> list[str]:
    """Say what radar shows of a zone, and whether it agrees with optical images.

    Parameters
    ----------
    timeline : Timeline
        With or without radar.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    list of str
        Breaks in order of time, gaps between clear dates, notes; empty where radar does not follow the zone.
    """
    series = timeline.radar
    if series is None or not (pairs := series.zones_of(zone.zone.name)):
        return []
    has_images = bool(timeline.dates)
    found = [_opinion(one, has_images=has_images) for one in break_opinions(timeline, zone)]
    if not series.breaks_of(zone.zone.name):
        counts = [f"{int(own.used.sum())} passes of {track.track.label}" for track, own in pairs
                  if own.changes_sought]  # fmt: skip
        least = timeline.parameters["radar"]["settings"]["breaks"]["breaks"]["least_change_db"]
        found += [f"Radar: no break of {least:g} dB or more in {' and '.join(counts)}."] if counts else []
    gaps = sorted(optical_gaps(timeline, zone), key=lambda one: one.days[0] - one.days[1])[:_MOST_GAPS]
    found += [_gap(one) for one in sorted(gaps, key=lambda one: one.days)]
    return [*found, *(f"Radar, {note}." for _, own in pairs for note in own.notes)]


def _opinion(one: BreakOpinion, *, has_images: bool) -> str:
    """Say of a break which sensors saw it."""
    told = radar_break_sentence(*one.radar) if one.radar else ""
    if one.optical is None and not has_images:
        return f"{told[:1].upper()}{told[1:]}."
    if one.optical is None:
        saw = "optical images saw the ground at that time and show no break"
        if one.gap is not None:
            saw = f"no clear optical date lies between {one.gap[0]} and {one.gap[1]}"
        return f"Radar only: {told}; {saw}."
    when = f"the change between {one.optical.after} and {one.optical.by}"
    if one.seen_by is SeenBy.RADAR_HAD_NOTHING:
        return f"Radar had nothing in that period to say of {when}: too few passes before or after it."
    if one.seen_by is SeenBy.OPTICAL_ONLY:
        return f"Optical only: radar has passes before and after {when}, and they show no break."
    word = "Both: radar agrees with" if one.seen_by is SeenBy.BOTH else "Conflicting: radar does not fit"
    return f"{word} {when}: {told}."


def _gap(one: GapReport) -> str:
    head = f"No clear optical date between {one.after} and {one.by}"
    if not one.passes:
        return f"{head}, and no pass of radar either: what happened then is not observed."
    if not one.breaks:
        return f"{head}: radar has {one.passes} pass(es) of that time, and no break of it begins there."
    first = min(one.breaks, key=lambda other: other.by)
    return (
        f"{head}: radar has {one.passes} pass(es) of that time, and a break of it begins there, between "
        f"{first.after} and {first.by}."
    )


def radar_counts(timeline: Timeline, zone: ZoneTimeline) -> list[str]:
    """Say how many passes of each track count for a zone; nothing without radar."""
    pairs = () if timeline.radar is None else timeline.radar.zones_of(zone.zone.name)
    return [f"{int(own.used.sum())} of {len(own.used)} passes of {track.track.label}" for track, own in pairs]


def tracks_text(series: RadarSeries) -> str:
    """Say which passes there are, such as ``75 passes of ascending 44 and 31 of descending 124``."""
    parts = [f"{len(one.dates)} of {one.track.label}" for one in series.tracks]
    return " and ".join([parts[0].replace(" of ", " passes of ", 1), *parts[1:]])


def radar_finding(timeline: Timeline) -> str:
    """Say what radar amounts to, in one or two sentences; "" without radar.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    str
        Which passes there are, and beside optical images how many breaks both see; alone, the lasting breaks.
    """
    series = timeline.radar
    if series is None:
        return ""
    if timeline.dates:
        return f"Radar ({tracks_text(series)}): {_agreement(timeline)}."
    first, last = timeline.span
    head = f"Radar alone, {tracks_text(series)} from {first} to {last}."
    zones = [(one.zone.name, series.breaks_of(one.zone.name)) for one in timeline.zones]
    lasting = [(name, other) for name, found in zones for other in found if other.state == "persisting"]
    if not lasting:
        others = sum(len(found) for _, found in zones)
        return f"{head} No persisting break" + (
            f", {others} that are over or provisional." if others else "."
        )
    parts = [f"{clean(name)}: {radar_break_sentence(other)}" for name, other in lasting[:2]]
    more = f" {len(lasting) - 2} more below." if len(lasting) > 2 else ""
    return f"{head} {'. '.join(part[:1].upper() + part[1:] for part in parts)}.{more}"


def _agreement(timeline: Timeline) -> str:
    """Count who saw what over the zones that radar follows."""
    every = [one for zone in timeline.zones for one in break_opinions(timeline, zone)]
    if not every:
        return "neither sensor shows a break of what is followed"
    counts = {
        "seen by both sensors": _count(every, SeenBy.BOTH),
        "on which they conflict": _count(every, SeenBy.CONFLICTING),
        "seen by optical images only": _count(every, SeenBy.OPTICAL_ONLY),
        "seen by radar only": _count(every, SeenBy.RADAR_ONLY),
        "of whose time radar has nothing": _count(every, SeenBy.RADAR_HAD_NOTHING),
    }
    return "breaks " + ", ".join(f"{text}: {number}" for text, number in counts.items() if number)


def _count(every: Sequence[BreakOpinion], seen_by: SeenBy) -> int:
    return sum(one.seen_by is seen_by for one in every)


def radar_legend(timeline: Timeline) -> str:
    """Say how the panels of radar are to be read; "" without radar."""
    if timeline.radar is None:
        return ""
    head = (
        "Radar: mean gamma nought of the zone in dB, each track by itself, less what the ground round it "
        "shares on that day (rain, frost); hollow: outside the band."
    )
    if timeline.dates:
        return f"{head} Grey: no clear optical date; what radar saw then stands in it."
    return (
        f"{head} Lines: level and season without breaks, bands ± {timeline.band_sigma:g} standard "
        "deviations. Orange strip: a break began in it. Green strip: it was over by its end."
    )


_CONSISTENT = {way.name.lower(): text for way, text in CONSISTENT_WITH.items() if way is not Direction.NONE}
