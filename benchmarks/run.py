"""Measure every kernel of the core beside plain NumPy and other libraries: one table, one JSON file.

    python benchmarks/run.py            1, 4, 30 and 120 million pixels; half an hour
    python benchmarks/run.py --quick    512 pixels square only, and the quick part of registration.py
    python benchmarks/run.py --docs     measure nothing: put what was measured into documents

Every kernel is measured at every size in a process of its own (`measure.py`). What would take more memory
than --most-gb, judged by the next smaller size, is left out, and the report says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.kernels import Kernel

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
#: What the documents show.
SHOWN = HERE / "core_results.json"
_LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "numba",
    "numexpr",
    "bottleneck",
    "xarray",
)
#: Works on a stack of radar, measured by `radar.py`, and its pixels on a side.
RADAR, RADAR_PX = "radar.stack", 1000
#: What the process of a kernel may take in all, in GB.
MOST_GB = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 1 when a result disagrees with ours, or registration is not accurate enough."""
    options = _options(arguments)
    if options.docs:
        from benchmarks import documents

        documents.write(json.loads((options.out or SHOWN).read_text()))
        return 0
    from benchmarks import tables

    report = run(options)
    print("\n" + tables.bars_text(report) + "\n" + tables.machine_text(report))
    if options.out or not options.quick:
        print(f"written: {options.out or RESULTS}")
    for text in report["disagreements"]:
        print(f"DISAGREES: {text}", file=sys.stderr)
    status = 1 if report["disagreements"] else 0
    if options.quick and not options.only:
        from benchmarks import registration

        print()
        status |= registration.main(["--quick"])
    return status


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for; a part replaces what was measured of it before."""
    from benchmarks import tables
    from benchmarks.kernels import KERNELS

    report: dict[str, Any] = {"machine": machine(), "bandwidth": {}, "rows": [], "left_out": []}
    report |= {"disagreements": [], "whole_mb": {}}
    path = options.out or RESULTS
    if (options.only or options.sizes) and path.exists() and not options.quick:
        report |= {k: v for k, v in json.loads(path.read_text()).items() if k != "machine"}
    found = in_process("stream", 1 << 22 if options.quick else 0)
    report["bandwidth"] = best_of(report["bandwidth"], {} if "failed" in found else found)
    print(tables.bandwidth_text(report) + "\n\n" + tables.heading(), flush=True)
    for size in _sizes(options):
        for kernel in KERNELS:
            if options.only in kernel.name:
                add(report, kernel, size, options.most_gb)
        for row in report["rows"]:
            row["memory_gb_s"] = tables.fastest(report["bandwidth"], row["threads"])
        if options.out or not options.quick:
            path.write_text(json.dumps(report, indent=1) + "\n")
    if options.only in RADAR and not options.sizes and not options.quick:
        found = in_process(RADAR, RADAR_PX)
        report["radar"] = found.get("rows", [])
        path.write_text(json.dumps(report, indent=1) + "\n")
    return report


def best_of(
    before: dict[str, dict[str, float]], now: dict[str, dict[str, float]]
) -> dict[str, dict[str, float]]:
    """The faster of two measurements of the memory: what others take of it is not the memory's doing."""
    names = {count: before.get(count, {}) | now.get(count, {}) for count in before | now}
    return {
        count: {name: max(part.get(count, {}).get(name, 0.0) for part in (before, now)) for name in found}
        for count, found in names.items()
    }


def add(report: dict[str, Any], kernel: Kernel, size: int, most_gb: float) -> None:
    """Measure one kernel at one size and print its rows, or say why not."""
    from benchmarks import tables

    name, key = kernel.name, f"{kernel.name} {size}"
    for part in ("rows", "left_out"):
        report[part] = [row for row in report[part] if (row["kernel"], row["size_px"]) != (name, size)]
    report["disagreements"] = [t for t in report["disagreements"] if not t.startswith(f"{name} at {size}:")]
    reasons = [too_large(report, kernel, size, most_gb)]
    if not reasons[0]:
        found = in_process(name, size)
        reasons = [found["failed"]] if "failed" in found else found["left_out"]
        for row in found.get("rows", ()):
            row["memory_gb_s"] = tables.fastest(report["bandwidth"], row["threads"])
            report["rows"].append(row)
            print(tables.line(row), flush=True)
        report["disagreements"] += found.get("disagreements", [])
        report["whole_mb"][key] = found.get("whole_mb", 0.0)
    for reason in reasons:
        report["left_out"].append({"kernel": name, "size_px": size, "why": reason})


def too_large(report: dict[str, Any], kernel: Kernel, size: int, most_gb: float) -> str:
    """Why a kernel is not measured at a size at all; empty when it is."""
    if size > kernel.up_to:
        return f"measured up to {kernel.up_to} px"
    smaller = [row["size_px"] for row in report["rows"] if row["kernel"] == kernel.name]
    nearest = max((other for other in smaller if other < size), default=0)
    needed = report["whole_mb"].get(f"{kernel.name} {nearest}", 0.0) * (size / max(nearest, 1)) ** 2 / 1e3
    return f"would take some {needed:.0f} GB" if needed > most_gb else ""


def in_process(name: str, size: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", name, str(size)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:200]
        print(f"{name} at {size} failed: {why}", file=sys.stderr)
        return {"failed": why}
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """What the numbers were measured on, without naming it."""
    from importlib.metadata import PackageNotFoundError, version

    from benchmarks.limits import processors

    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": processors(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    """The make of the processor, where the system says it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _sizes(options: argparse.Namespace) -> Sequence[int]:
    from benchmarks.kernels import QUICK_SIZE, SIZES

    if options.quick:
        return (QUICK_SIZE,)
    return sorted(options.sizes) or SIZES


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="512 pixels square only; written with --out only"
    )
    parser.add_argument(
        "--docs", action="store_true", help=f"write tables and plots from {SHOWN.name}, or from --out"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="kernels whose name contains this")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], metavar="PX", help="pixels on a side")
    parser.add_argument("--most-gb", type=float, default=MOST_GB, help="memory of a process, at most")
    parser.add_argument("--out", type=Path, help=f"JSON file (default: {RESULTS.name} beside this file)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
