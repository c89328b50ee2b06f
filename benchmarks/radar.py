"""How often radar methods are wrong, how much they find, how fast they are.

    python benchmarks/radar.py                 everything; a minute
    python benchmarks/radar.py --only power    power, rates, speed or null

`power` is counted on simulated speckle, 12 dates before and 4 after, two polarisations, each method at the
level that flags 1 % of unaltered pixels. `rates` is how often a nominal level is exceeded. `null` needs real
imagery in which hardly anything changes: OPERA RTC-S1 over California, in the folder CHANGEDET_DATA names.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from changedet.core.false_discovery import RadarDecision, flag_change
from changedet.core.likelihood_ratio import LikelihoodRatioParameters, likelihood_ratio, period_mean
from changedet.core.omnibus import OmnibusParameters, omnibus
from changedet.core.orbits import combine_orbits, score_of_t
from changedet.core.radar_stack import match_levels, temporal_reference
from changedet.core.reactiv import reactiv
from changedet.core.speckle import LooksParameters, equivalent_looks, multilook
from changedet.core.t_test import TTestParameters, t_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BEFORE, AFTER = 12, 4
#: Looks and step in decibels, as the published table of the methods has them.
CASES = ((4.4, 2), (4.4, 3), (4.4, 4), (4.4, 6), (22, 2), (22, 3))
#: Dates of each year in the real series.
SEASONS = ((0, 6), (6, 12), (12, 20), (20, 22))
STEP_DB, STEP_PX, SPACING_PX = 6.0, 3, 12
TURNS = 9


def speckle(shape, looks, seed):
    """Gamma speckle of mean 1, float32."""
    power = np.random.default_rng(seed).standard_gamma(looks, shape, np.float32)
    power /= np.float32(looks)
    return power


def _together(change):
    """Length over polarisations."""
    return np.sqrt(np.square(change).sum(axis=0))


def _single_dates(before, after, _):
    return _together(np.log(after[-1] / before[0]))


def _last_against_mean(before, after, _):
    return _together(np.log(after[-1] / period_mean(before)[0]))


def _temporal_means(before, after, _):
    return _together(np.log(period_mean(after)[0] / period_mean(before)[0]))


def _t(variance):
    def score(before, after, _):
        return np.abs(t_test(before, after, TTestParameters(variance)).statistic).max(axis=0)

    return score


def _ratio(calibrated):
    def score(before, after, looks):
        found = likelihood_ratio(before, after, LikelihoodRatioParameters(looks, calibrated))
        return np.abs(found.statistic)

    return score


def _omnibus(before, after, looks):
    return omnibus(np.concatenate([before, after]), OmnibusParameters(looks)).statistic


def _variation(before, after, _):
    both = np.concatenate([before, after])
    return _together(np.stack([reactiv(both[:, pol]).variation for pol in range(both.shape[1])]))


METHODS: dict[str, Callable[..., Any]] = {
    "one date against one": _single_dates,
    "last date against mean": _last_against_mean,
    "ratio of temporal means": _temporal_means,
    "Welch t": _t("welch"),
    "pooled t": _t("pooled"),
    "likelihood ratio": _ratio(False),
    "likelihood ratio, calibrated": _ratio(True),
    "omnibus (date unknown)": _omnibus,
    "coefficient of variation": _variation,
}


def power(side: int = 400) -> list[dict[str, Any]]:
    """Share of pixels with a step that each method finds at 1 % false alarms: a row for each case."""
    rows = []
    for looks, step in CASES:
        before, after = speckle((BEFORE, 2, side, side), looks, 1), speckle((AFTER, 2, side, side), looks, 2)
        stepped = after * np.float32(10 ** (step / 10))
        row: dict[str, Any] = {"looks": looks, "step_db": step}
        for name, score in METHODS.items():
            level = np.quantile(score(before, after, looks), 0.99)
            row[name] = float((score(before, stepped, looks) > level).mean())
        rows.append(row)
    return rows


def rates(side: int = 1000) -> list[dict[str, Any]]:
    """Share of unaltered pixels below nominal p-values, on speckle, and with flicker of 0.7 dB besides."""
    rows = []
    for looks, flicker_db in ((4.4, 0.0), (22, 0.0), (22, 0.7)):
        stack = speckle((BEFORE + AFTER, 2, side, side), looks, 3)
        texture = np.random.default_rng(4).standard_normal(stack.shape, np.float32)
        stack *= 10 ** (texture * np.float32(flicker_db / 10))
        for name, p_value in _p_values(stack, looks):
            row = {"method": name, "looks": looks, "flicker_db": flicker_db}
            rows.append(row | {f"at {q}": float((p_value < q).mean()) for q in (0.05, 0.01, 0.001)})
    return rows


def _p_values(stack, looks) -> Iterator[tuple[str, Any]]:
    before, after = stack[:BEFORE], stack[BEFORE:]
    for variance in ("pooled", "welch"):
        found = t_test(before, after, TTestParameters(variance))
        yield f"{variance} t", 2 * stats.t.sf(np.abs(found.statistic[0]), found.degrees[0])
    for calibrated in (False, True):
        parameters = LikelihoodRatioParameters(looks, calibrated)
        name = "likelihood ratio, calibrated" if calibrated else "likelihood ratio"
        yield name, likelihood_ratio(before, after, parameters).p_value
    yield "omnibus", omnibus(stack, OmnibusParameters(looks)).p_value


def speed(dates: int = 60, side: int = 1000) -> list[dict[str, Any]]:
    """Time and memory of each method on a stack of two polarisations, beside NumPy's sum of it."""
    from benchmarks.measure import peak_mb

    stack = np.tile(speckle((dates, 2, side // 10, side), 22, 5), (1, 1, 10, 1))
    border = dates * 3 // 4
    works: dict[str, Callable[[], Any]] = {
        "NumPy sum of the stack": stack.sum,
        "t_test": lambda: t_test(stack[:border], stack[border:]),
        "omnibus": lambda: omnibus(stack),
        "likelihood_ratio": lambda: likelihood_ratio(stack[:border], stack[border:]),
        "multilook": lambda: multilook(stack),
        "reactiv, one polarisation": lambda: reactiv(stack[:, 0]),
    }
    peaks = {name: peak_mb(work, ())[1] for name, work in works.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(TURNS):
        for name, work in works.items():
            start, busy = time.perf_counter(), time.process_time()
            work()
            seconds[name].append((time.perf_counter() - start, time.process_time() - busy))
    # a busy machine only ever adds; works take turns, so that all of them have the same chances
    best = {name: np.min(taken, axis=0) for name, taken in seconds.items()}
    sums = next(iter(best.values()))
    return [
        {"work": name, "seconds": taken[0], "times the sum": taken[0] / sums[0], "cpu seconds": taken[1],
         "times the sum, cpu": taken[1] / sums[1], "peak MB": peaks[name]}
        for name, taken in best.items()
    ]  # fmt: skip


@dataclass(frozen=True)
class NullCase:
    """One year against the year before over one burst."""

    burst: str
    year: int
    before: np.ndarray
    after: np.ndarray


def null_cases(folder: Path) -> Iterator[NullCase]:
    """Pairs of consecutive years of every burst, linear gamma nought."""
    for burst in sorted({path.name.split("_")[0] for path in folder.glob("*_VV.tif")}):
        stack = read_burst(folder, burst)
        for year in range(len(SEASONS) - 1):
            first, second = (slice(*SEASONS[index]) for index in (year, year + 1))
            yield NullCase(burst, year, stack[first], stack[second])


@cache
def read_burst(folder: Path, burst: str) -> np.ndarray:
    """All dates of a burst, VV and VH, in order of time."""
    import rasterio

    found = []
    for path in sorted(folder.glob(f"{burst}_*_VV.tif")):
        planes = []
        for name in (path.name, re.sub("VV.tif$", "VH.tif", path.name)):
            with rasterio.open(folder / name) as source:
                planes.append(source.read(1))
        found.append(np.stack(planes))
    return np.stack(found)


def flagged(before, after, *, method: str = "likelihood_ratio", matched: bool = True):
    """What the defaults flag of two periods: multilooked, of one level, tested, decided."""
    before, after = multilook(before), multilook(after)
    if matched:
        reference = temporal_reference(before)
        before, after = match_levels(before, reference), match_levels(after, reference)
    if method == "t_test":
        found = t_test(before, after)
        return flag_change(combine_orbits([score_of_t(found)]).p_value, found.change_db, RadarDecision())
    looks = float(equivalent_looks(before, LooksParameters(spacing_px=3)).min())
    ratio = likelihood_ratio(before, after, LikelihoodRatioParameters(looks))
    return flag_change(ratio.p_value, ratio.change_db, RadarDecision())


def found_steps(case: NullCase, method: str) -> float:
    """Share of places at which a step of 3 x 3 pixels is found in at least one of them, up and down."""
    rows, columns = case.after.shape[2:]
    places = [
        np.s_[row : row + STEP_PX, column : column + STEP_PX]
        for row in range(5, rows - STEP_PX, SPACING_PX)
        for column in range(5, columns - STEP_PX, SPACING_PX)
    ]
    found = []
    for sign in (1, -1):
        after = case.after.copy()
        for place in places:
            after[(slice(None), slice(None), *place)] *= np.float32(10 ** (sign * STEP_DB / 10))
        hits = flagged(case.before, after, method=method)
        found += [hits[place].any() for place in places]
    return float(np.mean(found))


def null(folder: Path) -> list[dict[str, Any]]:
    """What is flagged where hardly anything changed, and which steps are found there, year by year."""
    rows = []
    for case in null_cases(folder):
        for method in ("likelihood_ratio", "t_test"):
            row: dict[str, Any] = {"burst": case.burst, "year": case.year, "method": method}
            row |= {"dates": f"{len(case.before)} and {len(case.after)}"}
            row["flagged, %"] = 100 * float(flagged(case.before, case.after, method=method).mean())
            unmatched = flagged(case.before, case.after, method=method, matched=False)
            row["of dates as they are, %"] = 100 * float(unmatched.mean())
            rows.append(row | {"steps found, %": 100 * found_steps(case, method)})
    for method in ("likelihood_ratio", "t_test"):
        chosen = [row for row in rows if row["method"] == method]
        mean = {key: float(np.mean([row[key] for row in chosen])) for key in chosen[0] if key.endswith("%")}
        rows.append({"burst": "mean", "year": "", "method": method, "dates": ""} | mean)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a table of Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("power", "rates", "speed", "null"))
    only = parser.parse_args(arguments).only
    for name, work in (("power", power), ("rates", rates), ("speed", speed)):
        if only in (None, name):
            print(f"{name}\n\n{table(work())}", flush=True)
    from tests.data import data_folder

    folder = data_folder() / "opera_rtc_s1"
    if only in (None, "null"):
        print(f"null\n\n{table(null(folder))}" if folder.exists() else f"null: no imagery at {folder}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
