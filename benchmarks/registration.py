"""Measure co-registration beside other programs, on pairs whose displacement is known exactly.

    python benchmarks/registration.py             1098, 5490 and 10980 pixels square; half an hour
    python benchmarks/registration.py --quick     1098 only, less than half a minute

Every method reads the same two GeoTIFFs, in a process of its own; methods take turns, and the shortest time
counts. No method is told where the clouds are. The exit code is 1 when ours is less accurate than it has to
be; it never depends on a time, since the machine may be busy: the column "others" says how many processors
were at work for somebody else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.registration_methods import Method

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

SIZES = (1098, 5490, 10980)
#: Largest root mean square error of ours over the whole image, in pixels.
BAR_PX = {"A": 0.02, "B": 0.02, "C": 0.04, "D": 0.02}
#: AROSICS 1.13 on pairs made in this way (case C), on two quiet processors: seconds of the estimate and in
#: all, megabytes, pixels over clear ground. Measured elsewhere: pip does not install it on a plain Debian.
QUOTED = {
    1098: (12.3, 12.9, 341, 0.348),
    5490: (63.1, 75.4, 939, 0.170),
    10980: (181.0, 210.0, 1853, 0.161),
}
#: The method that is also a command.
COMMAND = "ours file"
HEADINGS = ("case", "size", "method", "seconds", "CPU s", "MB", "clear px", "all px", "others", "started")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the methods; 1 when ours is not accurate enough."""
    options = _options(arguments)
    rows: list[dict[str, Any]] = []
    print("  ".join(f"{h:>9}" if i != 2 else f"{h:<44}" for i, h in enumerate(HEADINGS)), flush=True)
    for size in options.sizes:
        for case in options.cases:
            for row in measure(case, size, options):
                rows.append(row)
                print(line(row), flush=True)
    wrong = list(shortfalls(rows))
    if options.out:
        merge(options.out, rows)
        print(f"written: {options.out}")
    for text in wrong:
        print(f"NOT ACCURATE: {text}", file=sys.stderr)
    return 1 if wrong else 0


def measure(case: str, size: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Let the methods take turns on one pair."""
    from benchmarks.registration_methods import METHODS
    from benchmarks.registration_pairs import ground_kind, make

    folder = make(options.folder, case, size)
    truth = dict(np.load(folder / "truth.npz"))
    chosen = [m for m in METHODS if _wanted(m, size, options)]
    rows = {
        m.name: {
            "case": case, "size_px": size, "method": m.name, "title": m.title, "local": m.local,
            "ground": ground_kind(), "seconds": float("inf"), "peak_mb": 0.0,
        }
        for m in chosen
    }  # fmt: skip
    for turn in range(options.turns):
        for method in chosen:
            row = rows[method.name]
            if not turn or ("failed" not in row and row["seconds"] < 10):
                _update(row, _in_process(method, folder, options), truth)
                if method.name == COMMAND and "failed" not in row:
                    row["started_s"] = min(row.get("started_s", float("inf")), _started(folder))
    return list(rows.values())


def _started(folder: Path) -> float:
    """Seconds of the command, from the start of Python to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = "--reference", folder / "reference.tif", "--moving", folder / "moving.tif"
        command = [sys.executable, "-m", "changedet", "register", *paths, "--out", f"{scratch}/out.tif"]
        start = time.perf_counter()
        subprocess.run([str(part) for part in command], capture_output=True, check=True)
        return time.perf_counter() - start


def _wanted(method: Method, size: int, options: argparse.Namespace) -> bool:
    if options.only and method.name not in options.only:
        return False
    there = method.name in options.interpreter or find_spec(method.module) is not None
    return there and (options.all or size <= method.largest)


def _in_process(method: Method, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one method in a process of its own, and watch how busy the machine is with others."""
    python = options.interpreter.get(method.name, sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.npz"
        command = [python, "-m", "benchmarks.registration_methods", method.name, folder, out]
        before = _busy_seconds()
        done = subprocess.run(
            [str(part) for part in (*command, options.repeats)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        after = _busy_seconds()
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or ["?"])[-1][:200]}
        found = dict(np.load(out))
    wall, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return {**found, "others": max(0.0, (busy - own) / wall)}


def _busy_seconds() -> tuple[float, float, float]:
    """Now; processor seconds of the whole machine (NaN where it does not say), and of our own processes."""
    own = os.times()
    stat = Path("/proc/stat")
    busy = float("nan")
    if stat.exists():
        user, nice, system, _, _, irq, soft, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
        busy = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), busy, own.user + own.system + own.children_user + own.children_system


def _update(row: dict[str, Any], found: dict[str, Any], truth: dict[str, Any]) -> None:
    """Keep the quickest turn and the largest memory."""
    if "failed" in found:
        row["failed"] = found["failed"]
        return
    error = np.hypot(*(found["shift_px"] - truth["shift_px"]).astype(np.float64))
    for name, where in (("all", truth["inside"]), ("clear", truth["inside"] & truth["clear"])):
        row[f"rmse_{name}_px"] = float(np.sqrt((error[where] ** 2).mean()))
    row["largest_px"] = float(error[truth["inside"]].max())
    row["peak_mb"] = max(row["peak_mb"], float(found["peak_mb"]))
    if float(found["seconds"]) < row["seconds"]:
        row |= {name: float(found[name]) for name in ("seconds", "cpu_seconds", "read_s")}
        row["others"] = float(found["others"])


def shortfalls(rows: list[dict[str, Any]]) -> list[str]:
    """Say where ours is not as accurate as it has to be."""
    found = []
    for row in rows:
        # one shift cannot follow a distortion
        if not row["method"].startswith("ours") or (row["case"] == "C" and not row["local"]):
            continue
        where = f"case {row['case']} at {row['size_px']}, {row['title']}"
        if "failed" in row:
            found.append(f"{where}: {row['failed']}")
        elif not row["rmse_all_px"] <= BAR_PX[row["case"]]:
            found.append(f"{where}: {row['rmse_all_px']:.4f} px, at most {BAR_PX[row['case']]} px is allowed")
    return found


def merge(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows into a file; those of other pairs and methods that stand there remain."""
    from benchmarks.run import machine

    former = json.loads(path.read_text())["rows"] if path.exists() else []
    merged = {(row["size_px"], row["case"], row["method"]): row for row in (*former, *rows)}
    every = sorted(merged.values(), key=lambda row: (row["size_px"], row["case"]))
    path.write_text(json.dumps({"machine": machine(), "rows": every}, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    start = f"{row['case']:>9}  {row['size_px']:>9}  {row['title']:<44}"
    if "failed" in row:
        return f"{start}  failed: {row['failed']}"
    keys = ("seconds", "cpu_seconds", "peak_mb", "rmse_clear_px", "rmse_all_px", "others")
    forms = (".3f", ".3f", ".0f", ".4f", ".4f", ".1f")
    numbers = [f"{row[k]:>9{f}}" for k, f in zip(keys, forms, strict=True)]
    return "  ".join([start, *numbers, *([f"{row['started_s']:>9.3f}"] if "started_s" in row else [])])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1098 pixels only, two cases, few methods")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="sides in pixels")
    parser.add_argument("--cases", default="ABCD", help="some of A, B, C, D")
    parser.add_argument("--only", nargs="+", help="names of methods")
    parser.add_argument("--all", action="store_true", help="also methods that take long at this size")
    parser.add_argument("--turns", type=int, default=3, help="each method is run so often")
    parser.add_argument("--repeats", type=int, default=2, help="... and measures so often in each run")
    parser.add_argument("--out", type=Path, help="JSON file to add the results to")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "changedet-registration-pairs",
        help="where the pairs are made, once",
    )  # fmt: skip
    parser.add_argument(
        "--interpreter", nargs="*", default=[], metavar="NAME=PYTHON",
        help="a method that is installed elsewhere, such as arosics=/opt/conda/bin/python",
    )  # fmt: skip
    found = parser.parse_args(arguments)
    found.interpreter = dict(text.split("=", 1) for text in found.interpreter)
    if found.quick:
        found.sizes, found.cases, found.turns = [1098], "BC", 1
        found.only = found.only or ["ours", "ours global", "skimage", "lk fit"]
    return found


if __name__ == "__main__":
    sys.exit(main())
