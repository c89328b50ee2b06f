"""Backscatter through time as panels of a plot: every track by marks of its own, optical gaps in grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from changedet.periods import day_of
from changedet.radar.agreement import optical_gaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from changedet.radar.series import RadarBreak, TrackSeries, TrackZone
    from changedet.timeline.types import Timeline, ZoneBreak, ZoneTimeline

    Floats = NDArray[np.float32]

#: Colours of the strips in which a break began, and by whose end it was over; of gaps.
BREAK, OVER, GAP = "#e69f00", "#009e73", "#8a8f98"


class TrackMark(NamedTuple):
    """How the passes of a track are drawn."""

    colour: str
    marker: str


#: Told apart by form as well as by colour; further tracks begin again.
TRACK_MARKS = (
    TrackMark("#0072b2", "o"),
    TrackMark("#b0427f", "^"),
    TrackMark("#5a7d1c", "s"),
    TrackMark("#7a5195", "D"),
)


def radar_bands(timeline: Timeline, zone: ZoneTimeline) -> tuple[str, ...]:
    """Return the polarisations of which a zone has a panel: none without radar."""
    series = timeline.radar
    return () if series is None or not series.zones_of(zone.zone.name) else series.bands


def radar_panel(
    axes: Axes, timeline: Timeline, zone: ZoneTimeline, band: str, fine: NDArray[np.float64]
) -> None:
    """Draw one polarisation of a zone: every track with its passes, what is usual, and its breaks.

    Parameters
    ----------
    axes : Axes
        An empty panel over days since 1970-01-01.
    timeline : Timeline
        With radar.
    zone : ZoneTimeline
        One of its zones.
    band : str
        Polarisation.
    fine : ndarray of float64, shape (day,)
        Days at which what is usual is drawn.
    """
    series = timeline.radar
    if series is None:
        return
    for gap in optical_gaps(timeline, zone):
        axes.axvspan(*gap.days, color=GAP, alpha=0.16, linewidth=0)
    shown = []
    for number, (track, own) in enumerate(series.zones_of(zone.zone.name)):
        if band in track.bands:
            mark = TRACK_MARKS[number % len(TRACK_MARKS)]
            shown.append(_track(axes, timeline, (track, own), mark, (band, fine)))
            for one in own.breaks:
                break_strips(axes, one)
                _say_step(axes, one, band, (number, mark))
    if shown:
        limit_values(axes, np.concatenate(shown))
    axes.set_ylabel(f"{band}, dB", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    if band == series.bands[0]:
        axes.legend(
            loc="lower right", fontsize=7.5, frameon=False, ncols=len(shown), bbox_to_anchor=(1, 0.96),
            borderaxespad=0, handletextpad=0.1, columnspacing=1.2,
        )  # fmt: skip


def _track(
    axes: Axes,
    timeline: Timeline,
    pair: tuple[TrackSeries, TrackZone],
    mark: TrackMark,
    what: tuple[str, NDArray[np.float64]],
) -> Floats:
    """Draw the passes of one track; return everything that the panel has to show."""
    (track, own), (band, fine) = pair, what
    column = track.bands.index(band)
    inside = fine[(fine >= track.days[0] - 1) & (fine <= track.days[-1] + 1)]
    usual, sigma = (part[:, column] for part in own.curve(inside))
    width = timeline.band_sigma * sigma
    axes.fill_between(inside, usual - width, usual + width, color=mark.colour, alpha=0.14, linewidth=0)
    axes.plot(inside, usual, color=mark.colour, linewidth=1.0, alpha=0.8)
    values = own.levelled_db[:, column]
    away = outside_band(timeline, own)[:, column]
    style: dict[str, Any] = {
        "markersize": 3.6,
        "color": mark.colour,
        "linestyle": "none",
        "marker": mark.marker,
        "zorder": 3,
    }
    axes.plot(track.days[~away], values[~away], label=track.track.label, **style)
    axes.plot(track.days[away], values[away], markerfacecolor="white", **style)
    return np.concatenate([values, usual - width, usual + width])


def outside_band(timeline: Timeline, own: TrackZone) -> NDArray[np.bool_]:
    """Tell which passes lie outside the band, shape (time, pol); False where nothing is expected."""
    units = np.abs(own.levelled_db - own.expected) / own.sigma
    return np.asarray(np.nan_to_num(units) > timeline.band_sigma)


def _say_step(axes: Axes, one: RadarBreak, band: str, track: tuple[int, TrackMark]) -> None:
    """Write by how much a polarisation changed beside the strip of a break, a line for each track."""
    (number, mark), step = track, one.steps_db[band]
    # on the side of the strip where the values lie at the other end of the panel
    up, away = step > 0, 0.03 + 0.15 * number
    arrow, height, side = ("▲", 1 - away, "top") if up else ("▼", away, "bottom")
    axes.text(
        day_of(one.after), height, f"{arrow} {step:+.1f} dB ", fontsize=7, color=mark.colour, ha="right",
        va=side, transform=axes.get_xaxis_transform(), zorder=4,
    )  # fmt: skip


def break_strips(axes: Axes, one: ZoneBreak | RadarBreak) -> None:
    """Draw the interval in which a break began, and the one by whose end it was over."""
    _strip(axes, day_of(one.after), day_of(one.by), BREAK)
    if one.over_by:
        _strip(axes, day_of(one.last_seen), day_of(one.over_by), OVER)


def _strip(axes: Axes, start: float, stop: float, colour: str) -> None:
    axes.axvspan(start, max(stop, start + 1), color=colour, alpha=0.25, linewidth=0)
    axes.axvline(start, color=colour, linewidth=0.8)
    axes.axvline(max(stop, start + 1), color=colour, linewidth=0.8)


def limit_values(axes: Axes, numbers: Floats) -> None:
    """Show all values and bands, and no spread that would flatten them."""
    finite = numbers[np.isfinite(numbers)]
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        room = max((high - low) * 0.12, 0.01)
        axes.set_ylim(low - room, high + room)
