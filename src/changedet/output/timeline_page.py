"""The page of a timeline: one HTML file that loads nothing, with charts, chips, and what was not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.kinds import BUILT_UP_GREENEST, BUILT_UP_MOST_NDVI
from changedet.output import facts
from changedet.output.page import render_page
from changedet.output.picture import to_jpeg_data_url
from changedet.output.radar_series_facts import ALONE_CAUTIONS, RADAR_CAUTION, radar_counts, radar_sentences
from changedet.output.radar_series_page import radar_charts, radar_context, radar_rows, radar_source
from changedet.output.timeline_charts import activity_chart, zone_charts
from changedet.output.timeline_chips import chip_zone, sizes_text, stretch_text
from changedet.output.timeline_facts import (
    CAUTIONS,
    STATES,
    activity_sentence,
    break_caveat,
    finding,
    floor_sentence,
    left_out_groups,
    phase_text,
    zone_sentences,
    zones_to_show,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from changedet.timeline.types import Timeline, ZoneTimeline

#: What all chips of a page may take together, and a single one, in bytes before they are written as text.
_CHIP_BYTES, _ONE_CHIP_BYTES = 1_000_000, 16_000
#: Most rows of a table.
_MOST_ROWS = 400


def timeline_html(timeline: Timeline, pictures: list[NDArray[np.uint8]], record: Mapping[str, Any]) -> str:
    """Return the page of a timeline.

    Parameters
    ----------
    timeline : Timeline
        Any.
    pictures : list of ndarray of uint8, shape (y, x, 3)
        From `changedet.output.timeline_chips.draw_chips`.
    record : mapping
        What goes into ``timeline.json``; software and settings are read from it.

    Returns
    -------
    str
        A complete HTML document under a policy that forbids every load; under 2 MB.
    """
    context = _head(timeline) | _body(timeline, pictures) | _unseen(timeline) | _provenance(timeline, record)
    context |= radar_context(timeline)
    return render_page("timeline.html.j2", context)


def _head(timeline: Timeline) -> dict[str, Any]:
    simulated = any(one.scene.simulated for one in timeline.acquisitions)
    rows, columns = timeline.grid.shape
    local = timeline.parameters["provider"] == "local"
    source = "local files" if local else facts.clean(timeline.parameters["provider"])
    if timeline.radar is not None:
        radar = radar_source(timeline.radar)
        source = f"{source}, radar from {radar}" if timeline.dates else radar
    place = [("Site", f"{columns} x {rows} pixels, {timeline.grid.crs}")]
    if timeline.site is not None:
        centre = timeline.site.centroid
        place = [("Centre", centre.dd), ("MGRS", centre.mgrs), *place]
    first, last = timeline.span
    cautions = [*(CAUTIONS if timeline.dates else ALONE_CAUTIONS)]
    cautions += [] if timeline.radar is None else [RADAR_CAUTION]
    return {
        "title": f"{facts.clean(timeline.name)}: timeline, {first} to {last}",
        "name": facts.clean(timeline.name),
        "period": f"{first} to {last}",
        "provider": source,
        "finding": finding(timeline),
        "place": place,
        "simulated": facts.SIMULATED_NOTE if simulated else "",
        "warnings": [*(facts.clean(text, 300) for text in timeline.warnings), *cautions],
    }


def _body(timeline: Timeline, pictures: list[NDArray[np.uint8]]) -> dict[str, Any]:
    zone = chip_zone(timeline)
    budget = min(_ONE_CHIP_BYTES, _CHIP_BYTES // max(len(pictures), 1))
    chips = [
        {"url": to_jpeg_data_url(picture, most_bytes=budget), "date": one.date, "reason": reason,
         "alt": f"{facts.clean(zone.zone.name)} on {one.date}"}
        for picture, one, reason in zip(pictures, timeline.dates, zone.reasons, strict=bool(pictures))
    ]  # fmt: skip
    return {
        "chips": chips,
        "chips_text": f"{facts.clean(zone.zone.name)}. {stretch_text()} {sizes_text(timeline)}",
        "zones": [_zone(timeline, one) for one in zones_to_show(timeline)],
        "band_sigma": f"{timeline.band_sigma:g}",
        "activity": activity_chart(timeline),
        "activity_text": activity_sentence(timeline),
        "built_text": (
            "Built-up pixels are those whose median reflectance over all clear dates reads as built or paved "
            f"by the rules for kinds of change, and whose NDVI stays below {BUILT_UP_MOST_NDVI:g} on "
            f"{BUILT_UP_GREENEST:.0%} of the dates. Of noise alone some 1 to 4 % lie outside in one index or "
            "another; wet ground, long shadows and goods that come and go count as well."
        ),
    }


def _zone(timeline: Timeline, zone: ZoneTimeline) -> dict[str, Any]:
    used = int(zone.used.sum())
    counts = [f"{used} of {len(zone.used)} dates show enough of it"] if timeline.dates else []
    about = "; ".join([f"{int(zone.zone.mask.sum())} pixels", *counts, *radar_counts(timeline, zone)])
    if zone.zone.place:
        about += f"; {facts.clean(zone.zone.place)}"
    rows = [
        (
            f"{one.after} to {one.by}",
            f"{one.last_seen} to {one.over_by}" if one.over_by else "-",
            f"{one.state}: {STATES[one.state]}",
            one.found.label,
            one.found.evidence,
            one.evidence,
            phase_text(one) or "-",
            f"{one.dates_before}, {one.dates_inside}",
            "-" if np.isnan(one.share_beyond) else f"{one.share_beyond:.0%} of the dates",
            f"{one.change.score:.1f}, {one.change.threshold:.1f}",
            break_caveat(one),
        )
        for one in zone.breaks
    ]
    return {
        "name": facts.clean(zone.zone.name),
        "about": about,
        "sentences": [*zone_sentences(zone), *radar_sentences(timeline, zone)],
        "floor": floor_sentence(timeline, zone),
        "charts": [*zone_charts(timeline, zone), *radar_charts(timeline, zone)],
        "radar_rows": radar_rows(timeline, zone),
        "rows": rows,
        "passing": [
            (f"{one.after or 'the beginning'} to {one.by}", one.over_by or "-", str(one.dates),
             ", ".join(one.indices), one.found.label, one.found.evidence)
            for one in zone.passing[:_MOST_ROWS]
        ],
    }  # fmt: skip


def _unseen(timeline: Timeline) -> dict[str, Any]:
    left = [(one.date, facts.clean(one.reason, 200), facts.clean(one.scene_id)) for one in timeline.left_out]
    hidden = [
        (one.date, facts.clean(zone.zone.name), reason)
        for zone in timeline.zones
        for one, reason in zip(timeline.dates, zone.reasons, strict=True)
        if reason
    ]
    groups = ", ".join(f"{count} {reason}" for reason, count in left_out_groups(timeline.left_out))
    more = f" The first {_MOST_ROWS} of them; all are in timeline.json." if len(left) > _MOST_ROWS else ""
    return {
        "left_out": left[:_MOST_ROWS],
        "left_caption": f"{len(left)} date(s) are not in the series: {groups}.{more}",
        "hidden": hidden[:_MOST_ROWS],
    }


def _provenance(timeline: Timeline, record: Mapping[str, Any]) -> dict[str, Any]:
    closure = timeline.closure_rmse_px
    told = "" if np.isnan(closure) else f" They close to {closure:.3f} pixel round triangles of dates."
    return {
        "dates": [
            (one.scene.time_text, facts.clean(one.scene.platform),
             f"{one.shift_px[0]:+.2f}, {one.shift_px[1]:+.2f}", one.how, facts.clean(one.scene.id))
            for one in timeline.dates
        ],
        "closure": f"Shifts move the content of a date onto the common frame.{told}",
        "credit": "; ".join(dict.fromkeys(one.scene.credit for one in timeline.acquisitions)),
        "settings": [(name, facts.clean(value)) for name, value in facts.flatten(record["parameters"])],
        "software": list(record["software"]["libraries"].items()),
        "version": record["software"]["version"],
    }  # fmt: skip
