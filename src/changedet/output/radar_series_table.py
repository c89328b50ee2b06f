"""Backscatter through time as a table and as variables of a Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from changedet.output.radar_series_plot import outside_band
from changedet.output.tables import csv_text, number_text
from changedet.radar.agreement import optical_gaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from changedet.radar.agreement import GapReport
    from changedet.radar.series import TrackSeries, TrackZone
    from changedet.timeline.types import Timeline

#: Columns of the table.
RADAR_COLUMNS = (
    "date", "time_utc", "zone", "track", "orbit_state", "relative_orbit", "platform", "polarisation",
    "value_db", "level_db", "levelled_db", "seen_share", "pixels", "expected_db", "band_low_db",
    "band_high_db", "outside", "in_optical_gap", "counts", "reason", "scene",
)  # fmt: skip


def radar_csv(timeline: Timeline) -> str:
    """Return a line for each pass, zone and polarisation, and one for each pass that was left out.

    Parameters
    ----------
    timeline : Timeline
        With radar; without, there is the head line alone.

    Returns
    -------
    str
        Comma separated with a head line, `RADAR_COLUMNS`; empty where nothing is known.
    """
    rows: list[list[str]] = []
    series = timeline.radar
    for zone in timeline.zones if series is not None else ():
        gaps = optical_gaps(timeline, zone)
        for track, own in series.zones_of(zone.zone.name) if series is not None else ():
            rows += _rows(timeline, track, own, gaps)
    rows.sort(key=lambda row: row[1])
    for one in () if series is None else series.left_out:
        rows.append([one.date, *[""] * (len(RADAR_COLUMNS) - 4), "no", one.reason, one.scene_id])
    return csv_text(RADAR_COLUMNS, rows)


def _rows(
    timeline: Timeline, track: TrackSeries, own: TrackZone, gaps: tuple[GapReport, ...]
) -> Iterator[list[str]]:
    away, half = outside_band(timeline, own), timeline.band_sigma * own.sigma
    for number, date in enumerate(track.dates):
        hidden = any(gap.days[0] < date.day < gap.days[1] for gap in gaps)
        for column, band in enumerate(track.bands):
            place = number, column
            expected, wide = float(own.expected[place]), float(half[place])
            judged = bool(own.used[number]) and not np.isnan(expected)
            values = (own.value_db[place], own.level_db[place], own.levelled_db[place])
            yield [
                date.date, date.scene.time_text, own.name, track.track.label, track.track.orbit_state,
                "" if track.track.relative_orbit is None else str(track.track.relative_orbit),
                date.scene.platform, band, *(number_text(float(one)) for one in values),
                number_text(float(own.series.share[number])),
                str(round(float(own.series.share[number]) * own.series.pixels)),
                *(number_text(one) for one in (expected, expected - wide, expected + wide)),
                ("yes" if away[place] else "no") if judged else "",
                ("yes" if hidden else "no") if timeline.dates else "",
                "yes" if own.used[number] else "no", own.reasons[number], date.scene.id,
            ]  # fmt: skip
