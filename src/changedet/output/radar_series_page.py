"""Backscatter through time on the page of a timeline: charts as numbers for its template, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.output import facts
from changedet.output.radar_series_facts import RADAR_STATES, radar_legend, step_text, tracks_text
from changedet.output.radar_series_plot import TRACK_MARKS, outside_band, radar_bands
from changedet.output.timeline_charts import (
    ChartScale,
    chart_band,
    chart_base,
    chart_ends,
    chart_limits,
    chart_points,
    chart_strip,
    known_runs,
)
from changedet.radar.agreement import break_opinions, optical_gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.radar.series import RadarSeries, TrackSeries, TrackZone
    from changedet.timeline.types import Timeline, ZoneTimeline

    Floats = NDArray[np.float32]

_CURVE_STEPS = 160


def radar_charts(timeline: Timeline, zone: ZoneTimeline) -> list[dict[str, Any]]:
    """Return one chart for each polarisation.

    Parameters
    ----------
    timeline : Timeline
        With or without radar.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    list of dict
        What the macro ``chart`` of the template draws; none where radar does not follow the zone.
    """
    bands = radar_bands(timeline, zone)
    return [_chart(timeline, zone, band, dated=band == bands[-1]) for band in bands]


def _chart(timeline: Timeline, zone: ZoneTimeline, band: str, *, dated: bool) -> dict[str, Any]:
    pairs = () if timeline.radar is None else timeline.radar.zones_of(zone.zone.name)
    shown = [(number, pair) for number, pair in enumerate(pairs) if band in pair[0].bands]
    curves = [_curve(timeline, pair, band) for _, pair in shown]
    scale = ChartScale(*chart_ends(timeline), *chart_limits(np.concatenate([one[1] for one in curves])))
    gaps = [
        {"x": scale.x(one.days[0]), "width": round(scale.x(one.days[1]) - scale.x(one.days[0]), 1),
         "css": "gap",
         "text": f"no clear optical date between {one.after} and {one.by}; {one.passes} pass(es)"}
        for one in optical_gaps(timeline, zone)
    ]  # fmt: skip
    return chart_base(f"{band}, dB", scale, dated=dated) | {
        "strips": [*gaps, *(strip for _, pair in shown for strip in _strips(pair, scale))],
        "tracks": [
            _track(number, (timeline, *pair, band), curve[0], scale)
            for (number, pair), curve in zip(shown, curves, strict=True)
        ],
    }


def _curve(
    timeline: Timeline, pair: tuple[TrackSeries, TrackZone], band: str
) -> tuple[tuple[NDArray[np.float64], Floats, Floats], Floats]:
    """Return days, what is usual and half the width of its band; and all numbers that the chart shows."""
    track, own = pair
    column = track.bands.index(band)
    days = np.linspace(track.days[0], max(track.days[-1], track.days[0] + 1), _CURVE_STEPS)
    usual, sigma = (part[:, column] for part in own.curve(days))
    width = np.asarray(timeline.band_sigma * sigma, np.float32)
    shown = np.concatenate([own.levelled_db[:, column], usual - width, usual + width])
    return (days, usual, width), np.asarray(shown, np.float32)


def _track(
    number: int,
    what: tuple[Timeline, TrackSeries, TrackZone, str],
    curve: tuple[NDArray[np.float64], Floats, Floats],
    scale: ChartScale,
) -> dict[str, Any]:
    """Return the passes, the line and the band of one track."""
    (timeline, track, own, band), (days, usual, width) = what, curve
    column, css = track.bands.index(band), number % len(TRACK_MARKS)
    runs = known_runs(np.isfinite(usual))
    away = outside_band(timeline, own)[:, column]
    marks = []
    for place, (one, value) in enumerate(zip(track.dates, own.levelled_db[:, column], strict=True)):
        if np.isfinite(value):
            raw, level = own.value_db[place, column], own.level_db[place, column]
            marks.append({
                "d": mark_path(css, scale.x(one.day), scale.y(float(value))),
                "css": f"track-{css}" + (" away" if away[place] else ""),
                "text": f"{one.date}, {track.track.label}: {value:.1f} dB (measured {raw:.1f}, "
                f"level of the pass {level:+.1f})",
            })  # fmt: skip
    return {
        "css": f"track-{css}",
        "bands": [chart_band(days[run], (usual - width)[run], (usual + width)[run], scale) for run in runs],
        "lines": [chart_points(days[run], usual[run], scale) for run in runs],
        "marks": marks,
    }


def _strips(pair: tuple[TrackSeries, TrackZone], scale: ChartScale) -> list[dict[str, Any]]:
    strips = []
    for one in pair[1].breaks:
        label = f"{one.track.label}, {step_text(one)}: "
        strips.append(chart_strip(scale, one.after, one.by, "began"))
        if one.over_by:
            strips.append(chart_strip(scale, one.last_seen, one.over_by, "ended"))
        strips[-1]["text"] = label + strips[-1]["text"]
    return strips


def mark_path(number: int, x: float, y: float) -> str:
    """Return the form of a track's passes at a place, as SVG writes it: disc, triangle, square, diamond."""
    forms = (
        f"M{x - 3.2:.1f} {y:.1f}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z",
        f"M{x:.1f} {y - 3.9:.1f}l3.7 6.6h-7.4z",
        f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z",
        f"M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z",
    )
    return forms[number % len(forms)]


def radar_rows(timeline: Timeline, zone: ZoneTimeline) -> list[tuple[str, ...]]:
    """Return the table behind the breaks of radar of a zone."""
    return [
        (
            f"{one.after} to {one.by}",
            f"{one.last_seen} to {one.over_by}" if one.over_by else "-",
            one.track.label,
            step_text(one),
            f"{one.state}: {RADAR_STATES[one.state]}",
            str(opinion.seen_by) if timeline.dates else "radar",
            f"{one.passes_before}, {one.passes_inside}",
            f"{one.change.score:.1f}, {one.change.threshold:.1f}",
        )
        for opinion in break_opinions(timeline, zone)
        for one in opinion.radar
    ]


def radar_source(series: RadarSeries) -> str:
    """Return where radar comes from, for a reader."""
    return "local files" if series.provider == "local" else facts.clean(series.provider)


def radar_context(timeline: Timeline) -> dict[str, Any]:
    """Return what the page says of radar as a whole.

    Parameters
    ----------
    timeline : Timeline
        With or without radar.

    Returns
    -------
    dict
        Its one key ``radar`` is None without radar.
    """
    series = timeline.radar
    if series is None:
        return {"radar": None}
    return {
        "radar": {
            "text": f"{tracks_text(series)}, from {radar_source(series)}. {radar_legend(timeline)}",
            "tracks": [
                {"css": f"track-{number % len(TRACK_MARKS)}", "d": mark_path(number, 12, 6),
                 "label": one.track.label}
                for number, one in enumerate(series.tracks)
            ],
            "gaps": bool(timeline.dates),
            "passes": [
                (one.scene.time_text, track.track.label, facts.clean(one.scene.platform),
                 f"{one.shift_px[0]:+.2f}, {one.shift_px[1]:+.2f}", one.how, facts.clean(one.scene.id))
                for track in series.tracks
                for one in track.dates
            ],
            "left_out": [
                (one.date, facts.clean(one.reason, 200), facts.clean(one.scene_id)) for one in series.left_out
            ],
        }
    }  # fmt: skip
