"""A timeline as a plot: values, what is usual with its band, breaks as intervals, dates that do not count."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from changedet.output.facts import SIMULATED_NOTE, clean
from changedet.output.figure import PageFigure
from changedet.output.sheet import plate_style
from changedet.output.timeline_facts import finding, zones_to_show
from changedet.periods import day_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from changedet.timeline import Timeline, ZoneTimeline

#: Told apart also by readers with colour-vision deficiency (Okabe and Ito 2008).
BAND, LINE, DOT, OUTSIDE, BREAK, OVER = "#cfe3f3", "#0072b2", "#1a1d21", "#d55e00", "#e69f00", "#009e73"
#: Most zones of one figure; a page shows all.
MOST_ZONES = 6
_WIDTH, _PANEL, _HEAD, _FOOT = 12.0, 1.25, 0.95, 0.85
_CURVE_STEPS = 300


@dataclass(frozen=True, eq=False)
class _Time:
    """The axis that all panels share."""

    days: NDArray[np.float64]
    fine: NDArray[np.float64]

    @classmethod
    def of(cls, timeline: Timeline) -> _Time:
        """Return the days of the dates, and close ones for curves."""
        days = timeline.days
        return cls(days, np.linspace(days[0], max(days[-1], days[0] + 1), _CURVE_STEPS))

    @property
    def limits(self) -> tuple[float, float]:
        """Both ends, with room."""
        room = max((self.days[-1] - self.days[0]) * 0.015, 5.0)
        return float(self.days[0] - room), float(self.days[-1] + room)


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
    names = len(timeline.indices)
    rows = [0.35 if number % (names + 1) == 0 else 1.0 for number in range(len(zones) * (names + 1))]
    rows += [0.35, 1.0]
    height = _HEAD + _FOOT + _PANEL * sum(rows)
    figure = PageFigure(_WIDTH, height)
    places = figure.add_gridspec(
        len(rows), 1, height_ratios=rows, left=0.085, right=0.985,
        top=1 - _HEAD / height, bottom=_FOOT / height, hspace=0.12,
    )  # fmt: skip
    drawn: list[Axes] = []
    for row in range(len(rows)):
        axes = figure.add_subplot(places[row])
        zone, part = divmod(row, names + 1)
        if row >= len(rows) - 2:
            _activity_row(axes, timeline, time, heading=row == len(rows) - 2)
        elif part == 0:
            _heading(axes, _zone_title(zones[zone]))
            continue
        else:
            _panel(axes, timeline, zones[zone], part - 1, time)
        if row != len(rows) - 2:
            drawn.append(axes)
    for axes in drawn:
        _time_axis(axes, time, labels=axes is drawn[-1])
    _titles(figure, timeline, len(timeline.zones) - len(zones), height)
    return figure


def _titles(figure: Figure, timeline: Timeline, not_shown: int, height: float) -> None:
    simulated = any(one.scene.simulated for one in timeline.dates)
    title = clean(timeline.name) + (f"   {SIMULATED_NOTE}" if simulated else "")
    figure.text(0.015, 1 - 0.28 / height, title, fontsize=14, fontweight="bold", va="center")
    told = textwrap.shorten(finding(timeline), 330, placeholder=" ...")
    figure.text(0.015, 1 - 0.46 / height, textwrap.fill(told, 165), fontsize=8.5, va="top")
    more = f" {not_shown} more zone(s) on the page." if not_shown else ""
    legend = (
        "Dots: median of the zone's clear pixels, bars their spread (orange: outside the band). Blue: level "
        f"and season without breaks, band ± {timeline.band_sigma:g} standard deviations. Orange strip: a "
        f"break began in it. Green strip: it was over by its end. Crosses: hidden.{more}"
    )
    credits = "; ".join(dict.fromkeys(one.scene.credit for one in timeline.dates))
    figure.text(0.015, 0.30 / height, textwrap.fill(legend, 200), fontsize=7.5, va="center", color="#444444")
    figure.text(0.015, 0.10 / height, f"{credits}. Times in UTC.", fontsize=7.5, va="center", color="#444444")


def _zone_title(zone: ZoneTimeline) -> str:
    used = int(zone.used.sum())
    return (
        f"{clean(zone.zone.name)}: {int(zone.zone.mask.sum())} pixels, {used} of {len(zone.used)} dates count"
    )


def _heading(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.1, text, fontsize=10, fontweight="bold", transform=axes.transAxes)


def _panel(axes: Axes, timeline: Timeline, zone: ZoneTimeline, column: int, time: _Time) -> None:
    for one in zone.breaks:
        _strip(axes, day_of(one.after), day_of(one.by), BREAK)
        if one.over_by:
            _strip(axes, day_of(one.last_seen), day_of(one.over_by), OVER)
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
    _limit(axes, np.concatenate([values, usual - width, usual + width]))
    axes.set_ylabel(timeline.indices[column], fontsize=9)
    axes.grid(axis="y", alpha=0.3)


def _limit(axes: Axes, numbers: NDArray[np.float32]) -> None:
    """Show all values and bands, and no spread that would flatten them."""
    finite = numbers[np.isfinite(numbers)]
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        room = max((high - low) * 0.12, 0.01)
        axes.set_ylim(low - room, high + room)


def _activity_row(axes: Axes, timeline: Timeline, time: _Time, *, heading: bool) -> None:
    found = timeline.activity
    if heading:
        text = "Built-up pixels outside their own bands" if found else "No activity index: see the warnings"
        _heading(axes, f"Whole site: {text}" + (f", of {found.built_pixels}" if found else ""))
        return
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


def _strip(axes: Axes, start: float, stop: float, colour: str) -> None:
    axes.axvspan(start, max(stop, start + 1), color=colour, alpha=0.25, linewidth=0)
    axes.axvline(start, color=colour, linewidth=0.8)
    axes.axvline(max(stop, start + 1), color=colour, linewidth=0.8)
