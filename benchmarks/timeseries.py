"""How soon rules see a change in a series of pixels, how often they are wrong, how fast ours are.

    python benchmarks/timeseries.py                  everything; some minutes
    python benchmarks/timeseries.py --only rules     rules, weather, history, speed or real

`rules` counts first alarms on simulated series (`pixel_series.Weather`): two years of history, one monitored, a step
two months into it. `weather` does so for ours where years differ more, `history` for steps before monitoring began.
`real` needs real imagery in the folder CHANGEDET_DATA names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.pixel_series import Weather, simulate, with_step

from changedet.core.break_rules import CusumRule, EwmaRule, MosumRule, PageRule, RunRule
from changedet.core.harmonic_baseline import BaselineCode, BaselineParameters, fit_baseline
from changedet.core.monitoring import monitor, start_monitoring

if TYPE_CHECKING:
    from changedet.core.break_rules import BreakRule

PIXELS = 20_000
STEPS = (0.04, 0.06, 0.10, 0.15, 0.25)
STEP_AFTER_DAYS = 60.0
ROBUST, PLAIN = BaselineParameters(), BaselineParameters(rounds=0)
RICH = BaselineParameters(rounds=0, harmonics=2, trend=True, most_leverage=math.inf)
WEATHERS = {
    "years alike": Weather(level_years=0, amplitude_years=0, phase_years_days=0, second_wave=0),
    "as above": Weather(),
    "years differ twice as much": Weather(0.03, 0.006, 0.2, 14.0, second_wave=0.2),
    "years differ three times as much": Weather(0.03, 0.009, 0.3, 21.0, second_wave=0.3),
    "10 % undetected cloud": Weather(cloud=0.1),
    "25 % clear": Weather(clear=0.25),
}
_BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@dataclass(frozen=True)
class Way:
    """A rule and the baseline that it is used with."""

    rule: BreakRule
    baseline: BaselineParameters = ROBUST


WAYS = {
    "**Page, k 1, h 8, clipped (default)**": Way(PageRule()),
    "same, least squares": Way(PageRule(), PLAIN),
    "same, k 1, h 5": Way(PageRule(limit=5.0)),
    "3 in a row beyond 3, least squares, 2 waves, trend (CCDC)": Way(RunRule(), RICH),
    "3 in a row beyond 3": Way(RunRule()),
    "4 in a row beyond 2.5, one side": Way(RunRule(4, 2.5, one_side=True)),
    "6 in a row beyond 99 %, one side (COLD)": Way(RunRule(6, 2.576, one_side=True)),
    "EWMA, L 5, clipped": Way(EwmaRule()),
    "EWMA, L 2, not clipped, least squares": Way(EwmaRule(limit=2.0, clip=math.inf, ignore_beyond=10), PLAIN),
    "CUSUM from the first date, least squares": Way(CusumRule(), PLAIN),
    "MOSUM, least squares": Way(MosumRule(), PLAIN),
    "MOSUM": Way(MosumRule()),
}


def rules(pixels: int = PIXELS, seed: int = 1) -> list[dict[str, Any]]:
    """False alarms for each series and year, and for each step the share found and the median delay in dates."""
    quiet = simulate(pixels, seed)
    rows = []
    baselines = {}
    for name, way in WAYS.items():
        if way.baseline not in baselines:
            baselines[way.baseline] = fit_baseline(
                quiet.values[quiet.history], quiet.days[quiet.history], parameters=way.baseline
            )
        rows.append({"rule": name} | _counts(quiet, way, baselines[way.baseline]))
    return rows


def _counts(quiet, way, baseline):
    usable = baseline.code == BaselineCode.MONITORED
    later = quiet.days[~quiet.history]
    history = baseline.standardise(quiet.values[quiet.history], quiet.days[quiet.history])
    first = way.rule.first_alarm(baseline.standardise(quiet.values[~quiet.history], later), history)
    row = {"false": float((first >= 0)[usable].mean())}
    for step in STEPS:
        units = baseline.standardise(with_step(quiet, step).values[~quiet.history], later)
        first = way.rule.first_alarm(units, history)
        day = np.where(first >= 0, later[first], np.nan)
        stepped = quiet.monitored_from + STEP_AFTER_DAYS
        found = usable & (day >= stepped)
        seen = np.isfinite(units) & (later[:, None] >= stepped)
        delay = (seen & (later[:, None] <= day)).sum(axis=0)[found]
        row[f"{step:g}"] = f"{found.sum() / usable.sum():.3f} / {np.median(delay) if delay.size else math.nan:.0f}"
    return row


def weather(pixels: int = PIXELS) -> list[dict[str, Any]]:
    """The default where years differ more, clouds are missed more often, or less is clear."""
    rows = []
    for name, kind in WEATHERS.items():
        quiet = simulate(pixels, 2, kind)
        baseline = fit_baseline(quiet.values[quiet.history], quiet.days[quiet.history])
        usable = baseline.monitored
        states = {
            step: monitor(
                start_monitoring(baseline),
                quiet.days[~quiet.history],
                with_step(quiet, step).values[~quiet.history],
            )
            for step in (0.0, 0.06, 0.1)
        }
        chart = states[0.06].chart
        found = usable & (chart.alarm_day >= quiet.monitored_from + STEP_AFTER_DAYS)
        apart = np.abs((chart.after_day + chart.by_day) / 2 - quiet.monitored_from - STEP_AFTER_DAYS)
        rows.append(
            {
                "series": name,
                "history unstable": float((baseline.code == BaselineCode.UNSTABLE).mean()),
                "false": float((states[0.0].chart.alarms > 0)[usable].mean()),
                "false, persisting": float(np.isfinite(states[0.0].chart.persisting_day)[usable].mean()),
                "0.06": float(found.sum() / usable.sum()),
                "0.06, persisting": float(np.isfinite(chart.persisting_day)[found].mean()),
                "0.06, days off": float(np.median(apart[found])),
                "0.1": float((states[0.1].chart.alarms > 0)[usable].mean()),
            }
        )
    return rows


def history(pixels: int = PIXELS) -> list[dict[str, Any]]:
    """Share of histories called unstable that hold a step, by its size and day; of 730 days."""
    quiet = simulate(pixels, 3)
    rows = []
    for step in (0.0, 0.06, 0.1, 0.15, 0.25):
        row: dict[str, Any] = {"step": step}
        for day in (100, 250, 365, 500, 650):
            series = with_step(quiet, step, day)
            found = fit_baseline(series.values[series.history], series.days[series.history])
            row[f"day {day}"] = float((found.code == BaselineCode.UNSTABLE).mean())
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in rows:
        cells = (f"{row[n]:.4g}" if isinstance(row[n], float) else str(row[n]) for n in names)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
