"""What a reader is told of a timeline, in words: the same on the page, the terminal and the plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.core.series_behaviour import Pattern
from changedet.output.facts import clean
from changedet.output.radar_series_facts import radar_finding, radar_sentences
from changedet.timeline.kinds import zone_floor
from changedet.timeline.kinds_in_time import TIME_CAVEATS, TimeFinding, TimeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.timeline.access import LeftOut
    from changedet.timeline.types import Timeline, ZoneBreak, ZoneTimeline

#: What stands on every page.
CAUTIONS = (
    "A break is a candidate for a reader to check against sharper imagery or another source. Its date is the "
    "interval between two clear dates, never a single day.",
    "No break means that the dates gave no reason to call one. What lasts less than the time between two "
    "clear dates, or is smaller than the zone, does not show.",
    "Level and season are learnt from the same dates. A change on the first or the last clear date, and one "
    "that comes with a new season of growth, can hide in them.",
)
#: What each state of a break means.
STATES = {
    "persisting": "shows on at least three clear dates over a month or more, up to the last one",
    "provisional": "shows on few clear dates so far, or on a series too short to know the season; look again",
    "over": "does not show any more on later clear dates",
}
_PATTERNS = {
    Pattern.SEASONAL: "the same weeks of earlier years look alike, so that the season explains it as well",
    Pattern.BURSTS: "it comes and goes",
}


def consistent(found: TimeFinding) -> str:
    """Say in careful words what a change of this kind is consistent with."""
    return "of no clear kind" if found.kind == TimeKind.OPEN else f"consistent with {found.label}"


def break_sentence(one: ZoneBreak) -> str:
    """Say when a zone changed, what that is consistent with, and whether it still shows.

    Parameters
    ----------
    one : ZoneBreak
        Of a zone.

    Returns
    -------
    str
        One sentence.
    """
    steps = ", ".join(f"{name} {value:+.2f}" for name, value in one.steps.items())
    text = f"changed between {one.after} and {one.by}, {consistent(one.found)} ({steps})"
    if one.found.phase is not None:
        text += f", phase {one.found.phase.value}"
    if one.state == "over":
        text += f"; it showed until {one.last_seen} and no longer on {one.over_by}"
    elif one.state == "provisional":
        text += f"; provisional: so far {one.dates_inside} clear date(s) show it, the last on {one.last_seen}"
    else:
        text += f"; it still shows on {one.last_seen}, after {one.dates_inside} clear dates"
    more = [_PATTERNS[one.pattern]] if one.pattern in _PATTERNS else []
    if one.dates_before < 4:
        more.append(f"only {one.dates_before} clear date(s) lie before it")
    return "; ".join([text, *more]) + "."


def break_caveat(one: ZoneBreak) -> str:
    """Say what else a break of this kind is consistent with; "" when nothing is known."""
    return TIME_CAVEATS[one.found.kind]


def phase_text(one: ZoneBreak) -> str:
    """Say when the phases of a construction began; "" for other kinds."""
    return "; ".join(
        f"{part.phase.value} since between {part.after} and {part.by}, seen until {part.last_seen}"
        for part in one.phases
    )


def passing_sentence(zone: ZoneTimeline) -> str:
    """Say what the dates outside of the band that make no break are consistent with; "" without any.

    Parameters
    ----------
    zone : ZoneTimeline
        Any.

    Returns
    -------
    str
        One sentence that counts them by name.
    """
    dates: dict[str, list[str]] = {}
    for one in zone.passing:
        dates.setdefault(one.found.label, []).append(
            one.by if one.dates == 1 else f"{one.by} to {one.last_seen}"
        )
    if not dates:
        return ""
    parts = [
        f"{name} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})" for name, found in dates.items()
    ]
    return f"Outside the band without a break, consistent with {'; '.join(parts)}."


def zone_sentences(zone: ZoneTimeline) -> list[str]:
    """Say what the dates show of a zone.

    Parameters
    ----------
    zone : ZoneTimeline
        Any.

    Returns
    -------
    list of str
        Breaks in order of time, then what else leaves the band, then notes; one sentence each.
    """
    found = [f"{_capital(break_sentence(one))}" for one in zone.breaks]
    if not found and zone.baseline is not None:
        clear = np.flatnonzero(zone.used)
        found = [f"No break in {len(clear)} clear dates."]
    passing = [sentence] if (sentence := passing_sentence(zone)) else []
    return [*found, *passing, *(f"{_capital(note)}." for note in zone.notes)]


def floor_sentence(timeline: Timeline, zone: ZoneTimeline) -> str:
    """Say which changes of a zone its dates could not show; "" without a baseline.

    Parameters
    ----------
    timeline : Timeline
        With the dates and indices.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    str
        Two sentences.
    """
    floor = zone_floor(zone, timeline.indices, timeline.days)
    return "" if floor is None else floor.sentence


def finding(timeline: Timeline) -> str:
    """Say what a timeline amounts to, in one or two sentences.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    str
        How many dates, and the lasting breaks of the kind that building leaves; or that there were too few
        dates to look for any.
    """
    if not timeline.dates:
        return radar_finding(timeline)
    zones = [one for one in timeline.zones if any(found.built for found in one.breaks)]
    first, last = timeline.dates[0].date, timeline.dates[-1].date
    head = f"{len(timeline.dates)} date(s) from {first} to {last}, {len(timeline.left_out)} left out."
    least = int(timeline.parameters["settings"]["baseline"]["least_dates"])
    if not any(one.breaks or one.used.sum() >= least for one in timeline.zones):
        return _both(
            f"{head} Too few clear dates to look for breaks: nothing is said about change.", timeline
        )
    if not zones:
        text = "No persisting break of the kind that building, clearing or demolishing leaves."
        return _both(f"{head} {text}", timeline)
    parts = []
    for zone in zones[:3]:
        one = next(found for found in reversed(zone.breaks) if found.built)
        since = f"since between {one.after} and {one.by}"
        parts.append(f"{clean(zone.zone.name)} differs {since}, {consistent(one.found)}")
    more = f", and {len(zones) - 3} more" if len(zones) > 3 else ""
    return _both(f"{head} {_capital('; '.join(parts))}{more}.", timeline)


def _both(text: str, timeline: Timeline) -> str:
    """Add to what optical images amount to what radar does."""
    return f"{text} {radar_finding(timeline)}".strip()


def zones_to_show(timeline: Timeline) -> list[ZoneTimeline]:
    """Return the zones that were asked for, then the built-up ground and the whole site."""
    return sorted(
        timeline.zones, key=lambda one: ("object", "point", "built-up", "site").index(one.zone.kind)
    )


def activity_sentence(timeline: Timeline) -> str:
    """Say what the activity index counts, and where it was highest; "" without one."""
    found = timeline.activity
    if found is None or not np.isfinite(found.built_share).any():
        return ""
    top = int(np.nanargmax(found.built_share))
    last = int(np.flatnonzero(np.isfinite(found.built_share))[-1])
    return (
        f"Share of {found.built_pixels} built-up pixels that lie outside their own bands: highest on "
        f"{timeline.dates[top].date} ({found.built_share[top]:.1%}), {found.built_share[last]:.1%} on "
        f"{timeline.dates[last].date}, median {np.nanmedian(found.built_share):.1%}."
    )


def left_out_groups(left_out: Sequence[LeftOut]) -> list[tuple[str, int]]:
    """Return how many dates were left out for which reason, the most frequent first."""
    counts: dict[str, int] = {}
    for one in left_out:
        reason = one.reason.partition(":")[0]
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def timeline_lines(timeline: Timeline) -> list[str]:
    """Describe a timeline in lines for a terminal.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    list of str
        Without any formatting.
    """
    lines = [f"{clean(timeline.name)}: {finding(timeline)}"]
    for zone in zones_to_show(timeline):
        lines.append(f"{clean(zone.zone.name)} ({int(zone.zone.mask.sum())} pixels)")
        lines += [f"  {text}" for text in [*zone_sentences(zone), *radar_sentences(timeline, zone)]]
        if zone.zone.kind != "site" and (floor := floor_sentence(timeline, zone)):
            lines.append(f"  {floor}")
    if sentence := activity_sentence(timeline):
        lines.append(f"Activity: {sentence}")
    radar = () if timeline.radar is None else timeline.radar.left_out
    for head, left in (("Left out", timeline.left_out), ("Radar left out", radar)):
        groups = ", ".join(f"{count} {reason}" for reason, count in left_out_groups(left))
        lines += [f"{head}: {groups}"] if left else []
    return lines + [f"warning: {text}" for text in timeline.warnings]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
