"""How well breaks in the radar of zones are found and dated, as `changedet timeline --sensor s1` finds them.

    python benchmarks/radar_zones.py                       all; a minute
    python benchmarks/radar_zones.py --only clearings      clearings or null

`clearings` follows 150 points of forest, half of them cleared on a known day, as zones of 3 x 3 pixels.
`null` follows zones where hardly anything changes, and the same with a step of 6 dB put in. Both need real
imagery in the folder CHANGEDET_DATA names (`s1_disturbance`, `opera_rtc_s1`).
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.radar import read_burst, table
from tests.data import data_folder

from changedet.core.zone_breaks import ZoneBreakParameters, find_zone_breaks, zone_series

if TYPE_CHECKING:
    from collections.abc import Sequence

HALF_PX, ZONES, STEP_DB = 1, 60, 6.0


def clearings(folder: Path):
    """The passes of a forest: power, days, rows and columns of points, and days of clearing or NaN."""
    scenes = np.load(folder / "ls_s1.npz")
    stamps = [name[17:25] for name in scenes["names"]]
    days = np.array([date(int(s[:4]), int(s[4:6]), int(s[6:])).toordinal() for s in stamps], float)
    power = np.where(scenes["data"] > -9000, 10 ** (scenes["data"] / 1000), np.nan).astype(np.float32)
    passes = np.unique(days)
    seen = np.isfinite(power)
    # slices of one pass are one
    stack = np.stack(
        [
            np.where(seen[days == day].any(0), np.nan_to_num(power[days == day]).sum(0), np.nan)
            / np.maximum(seen[days == day].sum(0), 1)
            for day in passes
        ]
    ).astype(np.float32)
    left, _, _, top = scenes["bounds"]
    with (folder / "dt_ref_dev.csv").open() as file:
        points = list(csv.DictReader(file))
    rows = np.array([int((top - float(p["y"])) // 30) for p in points])
    columns = np.array([int((float(p["x"]) - left) // 30) for p in points])
    dated = [p["date"] if p["date"] not in ("", "NA") else "nan" for p in points]
    return stack, passes, (rows, columns), np.array(dated, float) + date(1970, 1, 1).toordinal()


def found_in(stack, days, places, parameters: ZoneBreakParameters | None = None):
    """What the defaults find in zones of 3 x 3 pixels round places (row, column)."""
    parameters = parameters or ZoneBreakParameters()
    zones = []
    for row, column in places:
        mask = np.zeros(stack.shape[2:], bool)
        mask[max(row - HALF_PX, 0) : row + HALF_PX + 1, max(column - HALF_PX, 0) : column + HALF_PX + 1] = (
            True
        )
        zones.append(zone_series(stack, mask, parameters.min_share))
    return find_zone_breaks(stack, days, zones, np.ones(stack.shape[2:], bool), parameters)


def measure_clearings(folder: Path) -> list[dict[str, Any]]:
    """Area under the curve, best F1, F1 of what is called a break, and the error of its date."""
    stack, days, at, dated = clearings(folder)
    found = found_in(stack, days, zip(*at, strict=True))
    disturbed = np.isfinite(dated)
    score = np.nan_to_num(np.array([one.score for one in found]))
    called = np.array([bool(one.changes) for one in found])
    errors = []
    for one, day in zip(found, dated, strict=True):
        if one.changes and np.isfinite(day):
            strongest = max(one.changes, key=lambda change: change.score)
            errors.append(abs((days[strongest.unchanged_until] + days[strongest.first]) / 2 - day))
    return [
        {
            "points": len(dated),
            "ROC AUC": float((score[disturbed][:, None] > score[~disturbed]).mean()),
            "best F1": max(_f1(score >= cut, disturbed) for cut in score),
            "F1 of breaks": _f1(called, disturbed),
            "with a break, of cleared": f"{(called & disturbed).sum()} of {disturbed.sum()}",
            "of others": f"{(called & ~disturbed).sum()} of {(~disturbed).sum()}",
            "median days off": float(np.median(errors)),
        }
    ]


def _f1(called, truth) -> float:
    return float(2 * (called & truth).sum() / (called.sum() + truth.sum()))


def measure_null(folder: Path) -> list[dict[str, Any]]:
    """Breaks a year in zones where hardly anything changes, and steps that are found, for each burst."""
    rows = []
    for burst in sorted({path.name.split("_")[0] for path in folder.glob("*_VV.tif")}):
        stack = read_burst(folder, burst)
        days = np.array(_days(folder, burst))
        rng = np.random.default_rng(0)
        often = np.isfinite(stack).all(axis=(0, 1))
        often[:2], often[-2:], often[:, :2], often[:, -2:] = False, False, False, False
        places = rng.permutation(np.argwhere(often))[:ZONES]
        if not len(places):
            continue
        quiet = found_in(stack, days, places)
        start, years = len(days) // 2, (days[-1] - days[0]) / 365.25
        changed = stack.copy()
        for row, column in places:
            changed[start:, :, row - 1 : row + 2, column - 1 : column + 2] *= np.float32(10 ** (STEP_DB / 10))
        steps = found_in(changed, days, places)
        on_time = [any(change.first == start for change in one.changes) for one in steps]
        rows.append(
            {
                "burst": burst,
                "passes": len(days),
                "zones": len(places),
                "breaks a zone and year": sum(len(one.changes) for one in quiet) / len(places) / years,
                "6 dB found": float(np.mean([bool(one.changes) for one in steps])),
                "on its pass": float(np.mean(on_time)),
            }
        )
    return rows


def _days(folder: Path, burst: str) -> list[float]:
    found = []
    for path in sorted(folder.glob(f"{burst}_*_VV.tif")):
        stamp = re.search(r"(20\d{2})(\d{2})(\d{2})", path.name)
        if stamp is None:
            raise ValueError(path.name)
        found.append(float(date(*map(int, stamp.groups())).toordinal()))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("clearings", "null"))
    only = parser.parse_args(arguments).only
    data = data_folder()
    works = {
        "clearings": (measure_clearings, data / "s1_disturbance"),
        "null": (measure_null, data / "opera_rtc_s1"),
    }
    for name, (work, folder) in works.items():
        if only in (None, name):
            print(
                f"{name}\n\n{table(work(folder))}" if folder.exists() else f"{name}: no imagery at {folder}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
