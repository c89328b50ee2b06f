"""A timeline as a plot: values, what is usual with its band, breaks as intervals, dates that do not count."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from changedet.output.facts import SIMULATED_NOTE, clean
from changedet.output.figure import PageFigure
from changedet.output.radar_series_facts import radar_counts, radar_legend
from changedet.output.radar_series_plot import break_strips, limit_values, radar_bands, radar_panel
from changedet.output.sheet import plate_style
from changedet.output.timeline_facts import finding, zones_to_show
from changedet.periods import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from changedet.timeline.types import Timeline, ZoneTimeline

#: Told apart also by readers with colour-vision deficiency (Okabe and Ito 2008).
BAND, LINE, DOT, OUTSIDE = "#cfe3f3", "#0072b2", "#1a1d21", "#d55e00"
#: Most zones of one figure; a page shows all.
MOST_ZONES = 6
_WIDTH, _PANEL, _HEAD, _FOOT = 12.0, 1.25, 0.95, 1.0
_CURVE_STEPS = 300


@dataclass(frozen=True, eq=False)
class _Time:
    """The axis that all panels share."""

    days: NDArray[np.float64]
    fine: NDArray[np.float64]

    @classmethod
    def of(cls, timeline: Timeline) -> _Time:
        """Return the days of the dates, and close ones for curves."""
        first, last = timeline.acquisitions[0].day, timeline.acquisitions[-1].day
        return cls(timeline.days, np.linspace(first, max(last, first + 1), _CURVE_STEPS))

    @property
    def limits(self) -> tuple[float, float]:
        """Both ends, with room."""
        first, last = float(self.fine[0]), float(self.fine[-1])
        room = max((last - first) * 0.015, 5.0)
        return first - room, last + room


def plot_timeline(timeline: Timeline) -> Figure:
    """Draw a timeline; see `Timeline.plot`.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to any window.
    """
    with plate_style():
        return _drawn(timeline)


def _drawn(timeline: Timeline) -> Figure:
    zones, time = zones_to_show(timeline)[:MOST_ZONES], _Time.of(timeline)
    rows = _rows(timeline, zones, time)
    height = _HEAD + _FOOT + _PANEL * sum(1.0 if one.timed else 0.35 for one in rows)
    figure = PageFigure(_WIDTH, height)
    places = figure.add_gridspec(
        len(rows), 1, height_ratios=[1.0 if one.timed else 0.35 for one in rows], left=0.085, right=0.985,
        top=1 - _HEAD / height, bottom=_FOOT / height, hspace=0.12,
    )  # fmt: skip
    drawn: list[Axes] = []
    for number, row in enumerate(rows):
        axes = figure.add_subplot(places[number])
        row.draw(axes)
        if row.timed:
            drawn.append(axes)
    for axes in drawn:
        _time_axis(axes, time, labels=axes is drawn[-1])
    _titles(figure, timeline, len(timeline.zones) - len(zones), height)
    return figure


@dataclass(frozen=True, eq=False)
class _Row:
    """A row of the figure: a heading, or a panel over time."""

    draw: Callable[[Axes], None]
    timed: bool = True


def _rows(timeline: Timeline, zones: Sequence[ZoneTimeline], time: _Time) -> list[_Row]:
    """Return headings and panels: of each zone its indices, then its backscatter; the activity last."""
    rows = []
    for zone in zones:
        rows.append(_Row(partial(_heading, text=_zone_title(timeline, zone)), timed=False))
        rows += [
            _Row(partial(_panel, timeline=timeline, zone=zone, column=column, time=time))
            for column in range(len(timeline.indices))
        ]
        rows += [
            _Row(partial(radar_panel, timeline=timeline, zone=zone, band=band, fine=time.fine))
            for band in radar_bands(timeline, zone)
        ]
    if timeline.dates:
        rows.append(_Row(partial(_activity_heading, timeline=timeline), timed=False))
        rows.append(_Row(partial(_activity_row, timeline=timeline, time=time)))
    return rows


def _titles(figure: Figure, timeline: Timeline, not_shown: int, height: float) -> None:
    simulated = any(one.scene.simulated for one in timeline.acquisitions)
    title = clean(timeline.name) + (f"   {SIMULATED_NOTE}" if simulated else "")
    figure.text(0.015, 1 - 0.28 / height, title, fontsize=14, fontweight="bold", va="center")
    told = textwrap.shorten(finding(timeline), 330, placeholder=" ...")
    figure.text(0.015, 1 - 0.46 / height, textwrap.fill(told, 165), fontsize=8.5, va="top")
    more = f" {not_shown} more zone(s) on the page." if not_shown else ""
    legend = (
        "Dots: median of the zone's clear pixels, bars their spread (orange: outside the band). Blue: level "
        f"and season without breaks, band ± {timeline.band_sigma:g} standard deviations. Orange strip: a "
        "break began in it. Green strip: it was over by its end. Crosses: hidden."
    )
    legend = f"{legend if timeline.dates else ''} {radar_legend(timeline)}{more}".strip()
    credits = "; ".join(dict.fromkeys(one.scene.credit for one in timeline.acquisitions))
    figure.text(0.015, 0.42 / height, textwrap.fill(legend, 200), fontsize=7.5, va="center", color="#444444")
    credits = textwrap.shorten(credits, 180, placeholder=" ...")
    figure.text(0.015, 0.10 / height, f"{credits}. Times in UTC.", fontsize=7.5, va="center", color="#444444")


def _zone_title(timeline: Timeline, zone: ZoneTimeline) -> str:
    counts = [f"{int(zone.zone.mask.sum())} pixels"]
    if timeline.dates:
        counts.append(f"{int(zone.used.sum())} of {len(zone.used)} dates count")
    return f"{clean(zone.zone.name)}: {', '.join([*counts, *radar_counts(timeline, zone)])}"


def _heading(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.1, text, fontsize=10, fontweight="bold", transform=axes.transAxes)


def _panel(axes: Axes, timeline: Timeline, zone: ZoneTimeline, column: int, time: _Time) -> None:
    for one in zone.breaks:
        break_strips(axes, one)
    usual, sigma = (part[:, column] for part in zone.curve(time.fine))
    width = timeline.band_sigma * sigma
    axes.fill_between(time.fine, usual - width, usual + width, color=BAND, linewidth=0)
    axes.plot(time.fine, usual, color=LINE, linewidth=1.2)
    values = zone.values[:, column]
    units = np.abs(values - zone.expected[:, column]) / zone.sigma[:, column]
    away = np.nan_to_num(units) > timeline.band_sigma
    # over all of a site the spread is that of different ground, not of noise
    whole = zone.zone.kind in {"site", "built-up"}
    for chosen, colour in ((~away, DOT), (away, OUTSIDE)):
        spread = None if whole else zone.spread[chosen, column]
        axes.errorbar(
            time.days[chosen], values[chosen], yerr=spread, fmt="o", markersize=4,
            color=colour, ecolor="#9aa4ae", elinewidth=0.8, zorder=3,
        )  # fmt: skip
    missing = ~zone.used
    axes.plot(
        time.days[missing], np.full(int(missing.sum()), 0.03), "x", color="#888888", markersize=4,
        transform=axes.get_xaxis_transform(), clip_on=False,
    )  # fmt: skip
    limit_values(axes, np.concatenate([values, usual - width, usual + width]))
    axes.set_ylabel(timeline.indices[column], fontsize=9)
    axes.grid(axis="y", alpha=0.3)


def _activity_heading(axes: Axes, timeline: Timeline) -> None:
    found = timeline.activity
    text = "Built-up pixels outside their own bands" if found else "No activity index: see the warnings"
    _heading(axes, f"Whole site: {text}" + (f", of {found.built_pixels}" if found else ""))


def _activity_row(axes: Axes, timeline: Timeline, time: _Time) -> None:
    found = timeline.activity
    if found is not None:
        known = np.isfinite(found.built_share)
        axes.vlines(time.days[known], 0, 100 * found.built_share[known], color=OUTSIDE, linewidth=2)
        axes.plot(time.days[known], 100 * found.built_share[known], "o", color=OUTSIDE, markersize=4)
        axes.set_ylim(0, max(5.0, 110 * float(np.nanmax(found.built_share))) if known.any() else 5.0)
    axes.set_ylabel("share, %", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    days = [day_of(one.date) for one in timeline.left_out if one.date[:1].isdigit()]
    axes.plot(
        days, np.full(len(days), 0.93), "|", color="#888888", markersize=7,
        transform=axes.get_xaxis_transform(), label="date left out",
    )  # fmt: skip
    if days:
        axes.legend(loc="upper right", fontsize=7.5, frameon=False, bbox_to_anchor=(1, 0.9))


def _time_axis(axes: Axes, time: _Time, *, labels: bool) -> None:
    ticks = month_starts(*time.limits)
    axes.set_xlim(*time.limits)
    axes.set_xticks([day for day, _ in ticks], [text if labels else "" for _, text in ticks], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def month_starts(low: float, high: float, most: int = 14) -> list[tuple[float, str]]:
    """Return starts of months as days since 1970-01-01 and labels, so many at most.

    Examples
    --------
    >>> month_starts(day_of("2024-01-20"), day_of("2024-03-10"))
    [(19754.0, '2024-02'), (19783.0, '2024-03')]
    """
    start, end = (datetime.fromtimestamp(day * 86400, UTC) for day in (low, high))
    months = (end.year - start.year) * 12 + end.month - start.month
    step = next(number for number in (1, 2, 3, 6, 12, 24, 60, 1200) if months / number <= most)
    found = []
    for number in range(start.year * 12 + start.month - 1, end.year * 12 + end.month):
        day = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp() / 86400
        if number % step == 0 and low <= day <= high:
            found.append((day, f"{number // 12}-{number % 12 + 1:02d}"))
    return found
