"""The charts of a timeline's page, as numbers for its template: they follow the reader's light or dark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.output.timeline_plot import month_starts
from changedet.periods import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.timeline.types import Timeline, ZoneTimeline

_WIDTH, _LEFT, _RIGHT, _TOP, _PANEL = 960.0, 52.0, 950.0, 22.0, 104.0
_DATED_FOOT, _PLAIN_FOOT = 22.0, 6.0
_CURVE_STEPS = 200
#: Half the width of a label of the time axis: one nearer to the edge would be cut.
_LABEL_PX = 14.0


@dataclass(frozen=True)
class ChartScale:
    """From days and values to places in the chart.

    Attributes
    ----------
    first, last : float
        Days at its left and right.
    low, high : float
        Values at its foot and top.
    """

    first: float
    last: float
    low: float
    high: float

    def x(self, day: float) -> float:
        """Place of a day."""
        return round(_LEFT + (day - self.first) / (self.last - self.first) * (_RIGHT - _LEFT), 1)

    def y(self, value: float) -> float:
        """Place of a value, held inside the panel."""
        share = (value - self.low) / (self.high - self.low)
        return round(_TOP + _PANEL * (1 - min(max(share, -0.03), 1.03)), 1)


def zone_charts(timeline: Timeline, zone: ZoneTimeline) -> list[dict[str, Any]]:
    """Return one chart for each index.

    Parameters
    ----------
    timeline : Timeline
        Any.
    zone : ZoneTimeline
        One of its zones.

    Returns
    -------
    list of dict
        What the macro ``chart`` of the template draws.
    """
    count = len(timeline.indices)
    return [_chart(timeline, zone, number, dated=number == count - 1) for number in range(count)]


def activity_chart(timeline: Timeline) -> dict[str, Any] | None:
    """Return the chart of the activity index, None without one."""
    found = timeline.activity
    if found is None or not np.isfinite(found.built_share).any():
        return None
    shares = 100 * found.built_share
    first, last = chart_ends(timeline)
    scale = ChartScale(first, last, 0.0, max(5.0, 1.1 * float(np.nanmax(shares))))
    points = [
        {"x": scale.x(one.day), "y": scale.y(float(share)), "css": "outside", "spread": False,
         "number": number, "text": f"{one.date}: {share:.1f} %"}
        for number, (one, share) in enumerate(zip(timeline.dates, shares, strict=True))
        if np.isfinite(share)
    ]  # fmt: skip
    base = chart_base("built-up pixels outside their bands, %", scale, dated=True)
    return base | {"points": points, "stems": points}


def _chart(timeline: Timeline, zone: ZoneTimeline, column: int, *, dated: bool) -> dict[str, Any]:
    first, last = chart_ends(timeline)
    fine = np.linspace(timeline.days[0], max(timeline.days[-1], timeline.days[0] + 1), _CURVE_STEPS)
    usual, sigma = (part[:, column] for part in zone.curve(fine))
    width = timeline.band_sigma * sigma
    numbers = np.concatenate([zone.values[:, column], usual - width, usual + width])
    scale = ChartScale(first, last, *chart_limits(numbers))
    runs = known_runs(np.isfinite(usual))
    base = chart_base(timeline.indices[column], scale, dated=dated)
    return base | {
        "strips": _strips(zone, scale),
        "bands": [chart_band(fine[run], (usual - width)[run], (usual + width)[run], scale) for run in runs],
        "lines": [chart_points(fine[run], usual[run], scale) for run in runs],
        "points": _dots(timeline, zone, column, scale),
        "hidden": [
            {"x": scale.x(one.day), "text": f"{one.date}: {reason}"}
            for one, reason, used in zip(timeline.dates, zone.reasons, zone.used, strict=True)
            if not used
        ],
    }


def chart_base(name: str, scale: ChartScale, *, dated: bool) -> dict[str, Any]:
    """Return an empty chart with its axes; `dated` writes the months below."""
    bottom = _TOP + _PANEL
    return {
        "name": name, "label": f"{name} over time", "width": _WIDTH, "left": _LEFT, "right": _RIGHT,
        "top": _TOP, "bottom": bottom, "dated": dated,
        "height": bottom + (_DATED_FOOT if dated else _PLAIN_FOOT),
        "y_ticks": [{"at": scale.y(value), "text": text} for value, text in _ticks(scale.low, scale.high)],
        "x_ticks": [{"at": scale.x(day), "text": text if scale.x(day) <= _RIGHT - _LABEL_PX else ""}
                    for day, text in month_starts(scale.first, scale.last)],
        "strips": [], "bands": [], "lines": [], "stems": [], "points": [], "hidden": [], "tracks": [],
    }  # fmt: skip


def _dots(timeline: Timeline, zone: ZoneTimeline, column: int, scale: ChartScale) -> list[dict[str, Any]]:
    spread_counts = zone.zone.kind in {"point", "object"}
    found = []
    for number, one in enumerate(timeline.dates):
        value = float(zone.values[number, column])
        if math.isnan(value):
            continue
        spread = float(zone.spread[number, column])
        expected, sigma = float(zone.expected[number, column]), float(zone.sigma[number, column])
        away = abs(value - expected) > timeline.band_sigma * sigma
        usual = "" if math.isnan(expected) else f", usual {expected:.3f} ± {timeline.band_sigma * sigma:.3f}"
        found.append({
            "x": scale.x(one.day), "y": scale.y(value), "low": scale.y(value - spread),
            "high": scale.y(value + spread), "spread": spread_counts, "css": "outside" if away else "inside",
            "number": number, "text": f"{one.date}: {value:.3f}{usual}, {zone.share[number]:.0%} seen",
        })  # fmt: skip
    return found


def _strips(zone: ZoneTimeline, scale: ChartScale) -> list[dict[str, Any]]:
    strips = []
    for one in zone.breaks:
        strips.append(chart_strip(scale, one.after, one.by, "began"))
        if one.over_by:
            strips.append(chart_strip(scale, one.last_seen, one.over_by, "ended"))
    return strips


def chart_strip(scale: ChartScale, start: str, stop: str, css: str) -> dict[str, Any]:
    """Return the interval in which a break began (`css` is "began") or was over ("ended")."""
    left, right = scale.x(day_of(start)), scale.x(day_of(stop))
    words = "began" if css == "began" else "was over"
    return {"x": left, "width": max(round(right - left, 1), 2.0), "css": css,
            "text": f"{words} between {start} and {stop}"}  # fmt: skip


def chart_points(days: NDArray[np.float64], values: NDArray[np.float32], scale: ChartScale) -> str:
    """Return places of a line, as SVG writes them."""
    return " ".join(f"{scale.x(float(d))},{scale.y(float(v))}" for d, v in zip(days, values, strict=True))


def chart_band(
    days: NDArray[np.float64], low: NDArray[np.float32], high: NDArray[np.float32], scale: ChartScale
) -> str:
    """Return the outline of a band, as SVG writes it."""
    return f"{chart_points(days, high, scale)} {chart_points(days[::-1], low[::-1], scale)}"


def known_runs(known: NDArray[np.bool_]) -> list[slice]:
    """Return the unbroken runs of what is known."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def chart_ends(timeline: Timeline) -> tuple[float, float]:
    """Return the days at the left and right of every chart of a timeline, with room."""
    first, last = timeline.acquisitions[0].day, timeline.acquisitions[-1].day
    room = max((last - first) * 0.015, 5.0)
    return first - room, last + room


def chart_limits(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the values at the foot and top of a chart that shows all of these, with room."""
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = max((high - low) * 0.08, 0.01)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return the fewest round values, three or more, and their labels."""
    power = 10 ** math.ceil(math.log10(high - low))
    steps = (power * factor for factor in (1, 0.5, 0.2, 0.1, 0.05, 0.02))
    step = next(one for one in steps if math.floor(high / one) - math.ceil(low / one) >= 2)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    start = math.ceil(low / step)
    return [
        (number * step, f"{number * step:.{digits}f}") for number in range(start, math.floor(high / step) + 1)
    ]
