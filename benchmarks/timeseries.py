"""How soon rules see a change in a series of pixels, how often they are wrong, how fast ours are.

    python benchmarks/timeseries.py                  everything; some minutes
    python benchmarks/timeseries.py --only rules     rules, weather, history, patterns, speed, real

`rules` counts first alarms on simulated series (`pixel_series.Weather`): two years of history, one monitored,
a step two months into it. `weather` does so for ours where years differ more, `history` for steps before
monitoring began, `patterns` says how changes and decoys go on. `real` needs real imagery in the folder
CHANGEDET_DATA names.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.pixel_series import Weather, simulate, with_step
from tests.data import data_folder

from changedet.core.break_rules import CusumRule, EwmaRule, MosumRule, PageRule, RunRule
from changedet.core.harmonic_baseline import BaselineCode, BaselineParameters, design_of, fit_baseline
from changedet.core.monitoring import monitor, start_monitoring, update
from changedet.core.series_behaviour import Pattern
from changedet.core.timeseries import timeline

if TYPE_CHECKING:
    from pathlib import Path

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
    """False alarms for each series and year; for each step the share found and the median delay in dates."""
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
        dates = np.median(delay) if delay.size else math.nan
        row[f"{step:g}"] = f"{found.sum() / usable.sum():.3f} / {dates:.0f}"
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


def lstsq_loop(values, design, rounds):
    """The same fit, pixel after pixel, by `numpy.linalg.lstsq`; coefficients (term, pixel)."""
    out = np.empty((design.shape[1], values.shape[1]))
    for pixel in range(values.shape[1]):
        seen = np.isfinite(values[:, pixel])
        terms, series = design[seen], values[seen, pixel].astype(float)
        fitted = np.linalg.lstsq(terms, series, rcond=None)[0]
        for _ in range(rounds):
            residual = series - terms @ fitted
            units = residual / (4.685 * np.median(np.abs(residual)) / 0.6745)
            root = np.where(np.abs(units) < 1, 1 - units**2, 0)
            fitted = np.linalg.lstsq(terms * root[:, None], series * root, rcond=None)[0]
        out[:, pixel] = fitted
    return out


def speed(pixels: int = 1_000_000, sample: int = 1000, turns: int = 3) -> list[dict[str, Any]]:
    """Seconds of one processor for a million pixels: 100 dates, 40 % gaps, three terms; nrt if installed."""
    part = simulate(50_000, 4, Weather(revisit_days=7.31, clear=0.6), monitored_years=0.2)
    values, days = part.values[:100], part.days[:100]
    whole = np.tile(values, (1, pixels // 50_000))
    fits = {"least squares": PLAIN, "robust": ROBUST}
    state = start_monitoring(fit_baseline(whole, days))
    design = design_of(days, 0.0, ROBUST)
    rows: dict[str, dict[str, Any]] = {name: {"work": name} for name in (*fits, "one more date")}
    for _ in range(turns):
        for name, parameters in fits.items():
            _least(rows[name], "ours", fit_baseline, (whole, days, None, parameters, 1), 1)
            count = sample if parameters.rounds else 10 * sample
            arguments = (values[:, :count], design, parameters.rounds)
            _least(rows[name], "loop", lstsq_loop, arguments, pixels / count)
        _least(rows["one more date"], "ours", update, (state, 900.0, part.values[100].repeat(20), None, 1), 1)
        for name, function in _peers().items():
            count = 2 * sample if name == "robust" else 50_000
            arguments = (design, values[:, :count].astype(np.float64))
            # the first call compiles
            function(design, values[:, :10].astype(np.float64))
            _least(rows[name], "nrt", function, arguments, pixels / count)
    names = ("work", "ours", "loop", "nrt")
    return [{name: row.get(name, math.nan) for name in names} for row in rows.values()]


def _least(row, name, function, arguments, times):
    start = time.process_time()
    function(*arguments)
    row[name] = min(row.get(name, math.inf), times * (time.process_time() - start))


def _peers():
    """The fits of nrt, on one thread."""
    try:
        import numba
        from nrt.fit_methods import ols, rirls
    except ImportError:
        return {}
    numba.set_num_threads(1)
    return {"least squares": ols, "robust": rirls}


def real(folder: Path) -> list[dict[str, Any]]:
    """What the default says of real series: forest with dates of clearing, fields where nothing was built."""
    return [*disturbance(folder / "s1_disturbance"), *fields(folder / "s2_l2a_timeseries")]


def disturbance(folder: Path) -> list[dict[str, Any]]:
    """Cleared forest in VH, averaged over 3 x 3 pixels, less the median of each date; history two years."""
    import cv2

    with np.load(folder / "ls_s1.npz") as stored:
        power, names, bounds = 10 ** (stored["data"][:, 1] / 1000), stored["names"], stored["bounds"]
    stamps = [re.findall(r"_(\d{4})(\d{2})(\d{2})T", name)[0] for name in names]
    dates = np.array(["-".join(stamp) for stamp in stamps], "datetime64[D]")
    days, place = np.unique(dates.astype(np.float64), return_inverse=True)
    seen = np.isfinite(power).astype(np.float32)
    power, count = (
        np.stack([cv2.blur(part[place == n].sum(axis=0), (3, 3)) for n in range(len(days))])
        for part in (np.nan_to_num(power), seen)
    )
    decibels = 10 * np.log10(np.maximum(power, 1e-6) / np.maximum(count, 1e-3))
    series = np.where(count > 0.5, decibels, np.nan).astype(np.float32)
    series -= np.nanmedian(series, axis=(1, 2), keepdims=True)
    points = np.genfromtxt(folder / "dt_ref_dev.csv", delimiter=",", skip_header=1)
    column = ((points[:, 0] - bounds[0]) / 30).astype(int)
    row = ((bounds[3] - points[:, 1]) / 30).astype(int)
    start = days[0] + 2 * 365.25
    rules = BaselineParameters(least_scale=0.3)
    baseline = fit_baseline(series[days < start][:, row, column], days[days < start], parameters=rules)
    found = monitor(start_monitoring(baseline), days[days >= start], series[days >= start][:, row, column])
    cases = {
        "forest, cleared while monitored": points[:, 2] >= start,
        "forest, cleared in the history": points[:, 2] < start,
        "forest, not cleared": np.isnan(points[:, 2]),
    }
    return [_real_row(name, [chosen], [found], points[:, 2]) for name, chosen in cases.items()]


def _real_row(name, chosen, states, truth=None):
    """A row from the chosen pixels of some states."""
    where = np.concatenate(chosen)
    code, monitored = (
        np.concatenate([getattr(s.baseline, n) for s in states]) for n in ("code", "monitored")
    )
    chart = {n: np.concatenate([s.chart.arrays()[n] for s in states]) for n in states[0].chart.arrays()}
    usable = where & monitored
    middle = (chart["first_after_day"] + chart["first_by_day"]) / 2
    apart = np.abs(middle - (np.nan if truth is None else truth))[usable]
    apart = apart[np.isfinite(apart)]
    return {
        "series": name,
        "number": int(where.sum()),
        "history unstable": _share(where, code == BaselineCode.UNSTABLE),
        "monitored": _share(where, monitored),
        "dates judged": _share(usable, chart["judged"]),
        "alarms": _share(usable, chart["alarms"] > 0),
        "persisting": _share(usable, np.isfinite(chart["persisting_day"])),
        "days off": f"{np.median(apart):.0f}" if apart.size else "",
    }


def _share(among, what):
    return f"{what[among].mean():.3f}" if among.any() else ""


def fields(folder: Path) -> list[dict[str, Any]]:
    """Fields of a single year in NDVI: as they are, and with two thirds of the year taken for a history."""
    import xarray as xr

    rules = {
        "": BaselineParameters(),
        ", two thirds of a year as history": BaselineParameters(least_years=0.3),
    }
    found: dict[str, list[Any]] = {said: [] for said in rules}
    for path in sorted(folder.glob("*.nc")):
        with xr.open_dataset(path) as cube:
            days = cube.t.values.astype("datetime64[D]").astype(np.float64)
            ndvi = cube.NDVI.values.reshape(len(days), -1)
            seen = np.isin(cube.SCL.values, (4, 5, 6)).reshape(ndvi.shape)
        early = days < days[0] + (days[-1] - days[0]) * 2 / 3
        for said, parameters in rules.items():
            baseline = fit_baseline(ndvi[early], days[early], seen[early], parameters)
            state = monitor(start_monitoring(baseline), days[~early], ndvi[~early], seen[~early])
            found[said].append(state)
    return [
        _real_row(f"farm fields{said}", [np.ones(state.status.shape, bool) for state in states], states)
        for said, states in found.items()
    ]


def patterns(pixels: int = 5000) -> list[dict[str, Any]]:
    """What the behaviour of made-up changes and of decoys is consistent with, as shares of the series."""
    quiet = simulate(pixels, 7)
    start = quiet.monitored_from
    cases = {
        "nothing": (),
        "construction: stays": ((0.15, start + 60, math.inf),),
        "small construction: stays": ((0.08, start + 60, math.inf),),
        "snow: 40 days": ((0.4, start + 60, start + 100),),
        "flood: 40 days, darker": ((-0.12, start + 60, start + 100),),
        "cloud missed: 3 dates": ((0.3, start + 60, start + 75),),
        "storage: 5 times 25 days": tuple((0.2, start + day, start + day + 25) for day in range(40, 340, 60)),
        "harvest, every year 50 days": tuple((0.15, year + 200, year + 250) for year in (0, 365.25, start)),
        "harvest, this year only": ((0.15, start + 200, start + 250),),
    }
    rows = []
    for name, changes in cases.items():
        series = quiet
        for size, day, until in changes:
            series = with_step(series, size, day, until)
        found = timeline(series.values[None], series.days, start, ["made up"])
        row: dict[str, Any] = {"change": name, "alarms": float((found.described >= 0).mean())}
        row |= {p.name.lower(): float((found.behaviour.pattern == p).mean()) for p in Pattern}
        row["median size"] = float(np.nanmedian(found.behaviour.step))
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


TABLES: dict[str, Any] = {
    "rules": rules,
    "weather": weather,
    "history": history,
    "patterns": patterns,
    "speed": speed,
    "real": real,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(TABLES), help="one table")
    chosen = parser.parse_args(arguments).only
    folder = data_folder()
    for name, make in TABLES.items():
        if chosen not in (None, name):
            continue
        if name == "real" and not folder.exists():
            sys.stderr.write(f"real: {folder} is not there; name a folder by CHANGEDET_DATA\n")
            continue
        print(f"{name}\n\n{table(make(folder) if name == 'real' else make())}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
