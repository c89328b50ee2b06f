"""What a reader is told of radar, in words: pictures, tracks, what it says of objects, what it cannot say."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.output import facts
from changedet.output.facts import Fact, clean, number, share_text
from changedet.radar.platforms import CORRECTED_FROM_PX
from changedet.radar.types import SEEN_LABELS, FoundBy, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from changedet.output.stretch import Limits
    from changedet.radar.types import RadarEvidence, TrackReport
    from changedet.result import ChangeResult
    from changedet.scene import Scene

#: How a composite of two polarisations is read, and a picture of one.
COMPOSITE_NOTE = (
    "How to read the colours: red is VV, green is VH, blue is VV divided by VH. Bright, white or pink is "
    "rough ground, metal and walls that face the satellite; dark or deep blue is smooth ground, calm water "
    "and radar shadow; green and yellow are plants."
)
GREY_NOTE = (
    "How to read it: bright is rough ground, metal and walls that face the satellite; dark is smooth ground, "
    "calm water and radar shadow."
)
#: What radar cannot tell, wherever radar was asked.
CANNOT_NOTE = (
    "Radar looks from the side: walls and slopes that face it fold over what lies before them (layover), "
    "what lies behind them is in shadow, and both can hide a change or show it beside its place. Ships, "
    "vehicles, containers, water, ice and ploughing change what radar sees without anything being built. "
    "Radar alone does not tell what something is made of."
)
#: What it means that no track has enough passes: beside optical imagery, where a share of the site was asked
#: of radar alone, and where nothing was.
UNTESTED_NOTE = (
    "No track has enough passes to tell change from speckle and weather: radar ranks what optical imagery "
    "flags, and flags nothing by itself."
)
UNTESTED_SHARE_NOTE = (
    "No track has enough passes to tell change from speckle and weather: radar ranks, and nothing was tested."
)
UNTESTED_ALONE_NOTE = (
    "No track has enough passes to tell change from speckle and weather: nothing was flagged, and nothing is "
    "said about change."
)
#: What is said instead of `facts.CONFIDENCE_NOTE` where both sensors were asked.
CONFIDENCE_NOTE = (
    "Confidence is low, medium or high by agreement and persistence. “High” takes optical imagery and radar "
    "that agree on an object; where their directions conflict it is “low”."
)
#: The same where radar alone was asked.
CONFIDENCE_NOTE_ALONE = (
    "Confidence is low, medium or high by agreement and persistence. Radar alone never gives “high”: that "
    "takes optical imagery that agrees."
)
#: How candidates of radar alone are ordered: a heading, and what it means.
ORDER_ALONE = (
    "Candidates, highest score first",
    "The order is that of the change score: how far radar deviates from unaltered ground.",
)
#: Heads of the table of tracks.
TRACK_HEADS = (
    "Track", "Passes before", "Passes after", "Looks", "Compared by", "Satellites apart", "Note",
)  # fmt: skip

_FOUND_BY: Mapping[str, str] = MappingProxyType(
    {
        FoundBy.OPTICAL: "flagged by optical imagery",
        FoundBy.RADAR: "flagged by radar",
        FoundBy.BOTH: "flagged by optical imagery, and radar agrees",
        FoundBy.OPTICAL_ONLY: "flagged by optical imagery only",
        FoundBy.RADAR_ONLY: "flagged by radar only",
        FoundBy.CONFLICTING: "flagged by optical imagery, and radar conflicts with what it looks like",
    }
)
_COUNTED: Mapping[FoundBy, str] = MappingProxyType(
    {
        FoundBy.BOTH: "both sensors",
        FoundBy.OPTICAL_ONLY: "optical imagery only",
        FoundBy.RADAR_ONLY: "radar only",
        FoundBy.CONFLICTING: "conflicting",
    }
)


def period_text(result: ChangeResult) -> str:
    """Return the dates that were compared, for a heading; of means of radar first and last pass."""
    before, after = result.before.scene, result.after.scene
    if not result.radar_alone:
        return f"{before.date_text} to {after.date_text}"
    return f"{_span(before)} against {_span(after)}"


def _span(scene: Scene) -> str:
    dates = [one.date_text for one in scene.acquisitions]
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def picture_note(limits: Limits) -> str:
    """Say how radar pictures with these limits are read."""
    return COMPOSITE_NOTE if len(limits.bands) > 1 else GREY_NOTE


def change_note(band: str) -> str:
    """Say how the change composite of a polarisation is read."""
    return (
        f"Change composite: red is {band} after, green and blue are {band} before. Red became brighter to "
        "radar, cyan became darker, grey stayed as it was; single bright or dark pixels are speckle."
    )


def means_text(radar: RadarEvidence) -> str:
    """Say what the pictures of radar show, in one sentence without a full stop."""
    sides = (radar.before.scene.acquisitions, radar.after.scene.acquisitions)
    before, after = (len(side) for side in sides)
    passes = f"{_passes(before)} before and {after:,} after" if before != 1 or after != 1 else "one pass each"
    track = radar.tracks[0].track.text if radar.tracks else "one track"
    return f"Mean power of {passes}, {clean(track, 40)}"


def track_rows(radar: RadarEvidence) -> list[tuple[str, ...]]:
    """Return the cells of `TRACK_HEADS` for each track, the leading one first."""
    return [
        (
            clean(one.track.label, 40),
            passes_text(one.before),
            passes_text(one.after),
            "not needed" if math.isnan(one.looks) else number(one.looks, 1),
            clean(one.method, 40),
            _offsets(one),
            clean(one.note, 300) or "none",
        )
        for one in radar.tracks
    ]


def passes_text(scenes: Sequence[Scene]) -> str:
    """Count passes, and name the dates of each satellite.

    Examples
    --------
    >>> passes_text(())
    'none'
    """
    dates: dict[str, list[str]] = {}
    for scene in scenes:
        name = "satellite not stated" if scene.platform == "unknown" else clean(scene.platform, 40)
        dates.setdefault(name, []).append("date not stated" if scene.time is None else scene.date_text)
    named = "; ".join(f"{name} {', '.join(dict.fromkeys(days))}" for name, days in dates.items())
    return f"{len(scenes):,}: {named}" if named else "none"


def _offsets(one: TrackReport) -> str:
    """Say how far the content of each satellite lay from that of the one with most passes."""
    texts = [
        f"{clean(name, 40)} {number(abs(down), 2)} px {'down' if down >= 0 else 'up'}, "
        f"{number(abs(right), 2)} px {'right' if right >= 0 else 'left'}"
        for name, (down, right) in one.platform_offsets_px.items()
    ]
    satellites = {scene.platform for scene in (*one.before, *one.after)}
    return "; ".join(texts) or ("not measured" if len(satellites) > 1 else "one satellite")


def sentence(result: ChangeResult) -> str:
    """Say in one sentence what radar was compared by and which sensor flagged how much; "" without radar."""
    radar = result.radar
    if radar is None:
        return ""
    compared = radar.compared
    tracks = "; ".join(
        f"{clean(one.track.label, 40)}, {_passes(len(one.before))} before and {len(one.after):,} after"
        for one in compared
    )
    many = f"{len(compared):,} track{'s' if len(compared) != 1 else ''}"
    ranked = "" if radar.tested else ", too few passes to test"
    return f"Radar: {many} ({tracks}){ranked}. Candidates: {counts_text(result)}."


def counts_text(result: ChangeResult) -> str:
    """Say how many objects which sensor flagged."""
    found = [str(one) for one in result.objects["sensor"]]
    if result.radar_alone:
        return f"{len(found):,} flagged by radar"
    return ", ".join(f"{words} {found.count(one.value):,}" for one, words in _COUNTED.items())


def sensor_text(row: Mapping[Any, Any], *, tested: bool = True) -> str:
    """Say which sensor flagged an object, and where radar has a say of it that it was not tested.

    Parameters
    ----------
    row : mapping
        A row of the object table.
    tested : bool
        `RadarEvidence.tested`.

    Returns
    -------
    str
        "" where the table does not tell.

    Examples
    --------
    >>> sensor_text({"sensor": "both"}, tested=False)
    'flagged by optical imagery, and radar agrees, untested'
    """
    said = _FOUND_BY.get(str(row["sensor"]), "")
    has_a_say = row["sensor"] in (FoundBy.BOTH, FoundBy.CONFLICTING, FoundBy.RADAR)
    return f"{said}, untested" if has_a_say and not tested else said


def object_text(row: Mapping[Any, Any]) -> str:
    """Say what radar saw of an object.

    Parameters
    ----------
    row : mapping
        A row of the object table.

    Returns
    -------
    str
        Without a full stop.

    Examples
    --------
    >>> object_text({"radar_db": 5.21, "radar_deviations": 8.04})
    'radar: brighter by 5.2 dB on average, 8.0 deviations'
    >>> object_text({"radar_db": float("nan"), "radar_deviations": float("nan")})
    'radar: not judged here'
    """
    change, deviations = float(row["radar_db"]), float(row["radar_deviations"])
    if not math.isfinite(change) or not math.isfinite(deviations):
        return "radar: not judged here"
    word = "brighter" if change >= 0 else "darker"
    against = "" if (deviations >= 0) == (change >= 0) else "-"
    said = f"{number(abs(change), 1)} dB on average, {against}{number(abs(deviations), 1)} deviations"
    return f"radar: {word} by {said}"


def order(result: ChangeResult) -> tuple[str, str]:
    """Say how the list of candidates is ordered: a heading, and what it means."""
    if result.radar_alone:
        return ORDER_ALONE
    return facts.ORDER_BY_SCORE if result.construction is None else facts.ORDER_BY_CONSTRUCTION


def confidence_note(result: ChangeResult) -> str:
    """Say what decides confidence in a result of these sensors."""
    if result.radar is None:
        return facts.CONFIDENCE_NOTE
    return CONFIDENCE_NOTE_ALONE if result.radar_alone else CONFIDENCE_NOTE


def confidence_short(result: ChangeResult) -> str:
    """Say the same in a line."""
    if result.radar is not None and not result.radar_alone:
        return "High takes both sensors; conflict makes it low."
    if result.radar_alone:
        return "Radar alone never gives high confidence."
    return "Two dates alone never give high confidence."


def limits(result: ChangeResult) -> tuple[str, ...]:
    """Return what a reader has to know about what radar could not see, as sentences; none without radar."""
    if result.radar is None:
        return ()
    settings = result.radar.settings
    squares = f"squares of {settings.multilook_px} x {settings.multilook_px} pixels were averaged before."
    if _asked_share(result) is not None:
        return CANNOT_NOTE, squares.capitalize()
    least = number(settings.least_change_db, 1, "dB")
    return CANNOT_NOTE, f"Radar flags nothing that changed by less than {least}, and {squares}"


def method_text(result: ChangeResult) -> str:
    """Say how radar was compared, in a few sentences; "" without radar."""
    if result.radar is None:
        return ""
    settings = result.radar.settings
    side = settings.multilook_px
    return (
        f"Radar power was averaged over squares of {side} x {side} pixels. Each track was compared by "
        "itself, so that passes of different directions never meet in a pixel, and what the tracks say was "
        f"combined afterwards. {_decision_text(result, result.radar)} Decibels: 3 dB is twice the power, "
        "10 dB ten times."
    )


def _decision_text(result: ChangeResult, radar: RadarEvidence) -> str:
    """Say what made radar flag a pixel."""
    share, settings = _asked_share(result), radar.settings
    if share is not None:
        untested = "" if radar.tested else f" {UNTESTED_SHARE_NOTE}"
        leading = f"The {share_text(share)} of the site that deviate most were flagged, as was asked for, "
        return f"{leading}however little they changed.{untested}"
    if not radar.tested:
        return UNTESTED_ALONE_NOTE if result.radar_alone else UNTESTED_NOTE
    return (
        "A pixel is flagged by radar where a share of at most "
        f"{share_text(settings.false_discovery_share)} of what is flagged may be there by chance and the "
        f"change is at least {number(settings.least_change_db, 1, 'dB')}."
    )


def _asked_share(result: ChangeResult) -> float | None:
    """Return the share of the site that was asked of radar alone; None where none was, and a test decides."""
    share = result.parameters.get("budget") if result.radar_alone else None
    return None if share is None else float(share)


def quality(result: ChangeResult) -> tuple[Fact, ...]:
    """Return the figures that tell how far a comparison can be trusted, of the sensors that were compared.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    tuple of Fact
        Without radar, `changedet.output.facts.quality`; with both, that and what radar saw; of radar alone,
        what it saw and how far its satellites lay apart.
    """
    if result.radar is None:
        return facts.quality(result)
    if not result.radar_alone:
        return (*facts.quality(result), _passes_fact(result.radar), _seen_fact(result))
    registration = result.registration
    residual = Fact(
        "Residual shift",
        number(registration.residual_px, 2, "px"),
        f"between the means of both periods; {number(registration.residual_m, 1, 'm')}; limit "
        f"{number(registration.limit_px, 2, 'px')}; verdict: {facts.verdict_text(registration)}",
    )
    seen = (_seen_fact(result), _passes_fact(result.radar), facts.season_fact(result))
    return (*seen, *_facts(result, result.radar), residual)


def _passes_fact(radar: RadarEvidence) -> Fact:
    before, after = (sum(len(side) for side in sides) for sides in _sides(radar))
    tracks = ", ".join(clean(one.track.label, 40) for one in radar.compared)
    many = "1 track" if len(radar.compared) == 1 else f"{len(radar.compared):,} tracks"
    return Fact("Radar passes", f"{before:,} and {after:,}", f"before and after, of {many}: {tracks}")


def _seen_fact(result: ChangeResult) -> Fact:
    from changedet.output.radar_rasters import seen_shares

    shares = seen_shares(result)
    radar = shares[Seen.RADAR] + shares[Seen.BOTH]
    parts = (Seen.BOTH, Seen.RADAR, Seen.OPTICAL, Seen.NEITHER)
    note = "; ".join(
        f"{SEEN_LABELS[one].removeprefix('observed ')} {share_text(shares[one])}" for one in parts
    )
    note = "of the site, in both periods" if result.radar_alone else note
    return Fact("Observed by radar", share_text(radar), note)


def _facts(result: ChangeResult, radar: RadarEvidence) -> tuple[Fact, ...]:
    looks = [one.looks for one in radar.compared if math.isfinite(one.looks)]
    side = radar.settings.multilook_px
    return (
        Fact(
            "Looks",
            number(looks[0], 1) if looks else "not needed",
            f"equivalent, of the leading track, after squares of {side} x {side} px",
        ),
        Fact("Satellites apart", *_apart(radar)),
        _chance_fact(result, radar),
    )


def _chance_fact(result: ChangeResult, radar: RadarEvidence) -> Fact:
    settings, share = radar.settings, _asked_share(result)
    if share is not None:
        return Fact("Flagged by chance", "not limited", f"{share_text(share)} of the site was asked for")
    return Fact(
        "Flagged by chance",
        f"at most {share_text(settings.false_discovery_share)}" if radar.tested else "not tested",
        f"of flagged pixels; least change {number(settings.least_change_db, 1, 'dB')}",
    )


def _apart(radar: RadarEvidence) -> tuple[str, str]:
    """Return how far satellites lay apart at most, and a note."""
    offsets = [math.hypot(*by) for one in radar.compared for by in one.platform_offsets_px.values()]
    if offsets:
        done = (
            "before they were brought together" if max(offsets) >= CORRECTED_FROM_PX else "left as they are"
        )
        note = f"{done}; the table of tracks has each"
        return f"up to {number(max(offsets), 2, 'px')}", note
    several = any(len({s.platform for s in (*one.before, *one.after)}) > 1 for one in radar.compared)
    if several:
        return "not measured", "their pictures do not match clearly enough"
    return "one satellite", "or none stated, on each track; its passes fit each other"


def _sides(radar: RadarEvidence) -> tuple[list[tuple[Scene, ...]], list[tuple[Scene, ...]]]:
    compared = radar.compared
    return [one.before for one in compared], [one.after for one in compared]


def _passes(count: int) -> str:
    return "1 pass" if count == 1 else f"{count:,} passes"
