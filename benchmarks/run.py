"""Measure every kernel of the core beside plain NumPy and peers; print one table, write one JSON file.

    python benchmarks/run.py            all sizes, under two minutes on two processors
    python benchmarks/run.py --quick    512 pixels square only, and the quick part of registration.py

The versions of a kernel take turns, so that a busy machine slows all of them alike; the shortest of their
times counts. Each first gives its result, which has to agree with ours, and its peak of memory; where that
alone takes a plain version longer than half a second, it is the time too, with one thread only.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.kernels import Kernel

HERE = Path(__file__).resolve().parent
HEADINGS = (
    "kernel",
    "size",
    "threads",
    "ours s",
    "naive s",
    "peer s",
    "naive/ours",
    "peer/ours",
    "ours MB",
    "naive MB",
)
_LONG_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 1 when a result disagrees with ours, or registration is not accurate enough."""
    from benchmarks.kernels import KERNELS, SIZES

    options = _options(arguments)
    rows, disagreements = [], []
    print("  ".join(f"{h:>10}" if i else f"{h:<30}" for i, h in enumerate(HEADINGS)), flush=True)
    for size in SIZES[:1] if options.quick else SIZES:
        for kernel in KERNELS:
            if options.only in kernel.name:
                for row in measure(kernel, size, disagreements):
                    rows.append(row)
                    print(line(row), flush=True)
    report = {"machine": machine(), "rows": rows, "disagreements": disagreements}
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{_versions(report['machine'])}\nwritten: {options.out}")
    for text in disagreements:
        print(f"DISAGREES: {text}", file=sys.stderr)
    status = 1 if disagreements else 0
    if options.quick and not options.only:
        from benchmarks import registration

        print()
        status |= registration.main(["--quick"])
    return status


def measure(kernel: Kernel, size: int, disagreements: list[str]) -> list[dict[str, Any]]:
    """Check and time one kernel at one size, with one thread and with two."""
    from benchmarks.limits import processors, threads

    arguments, versions = kernel.prepare(size), kernel.versions(size)
    peaks, rows = {}, []
    ours = None
    first: dict[str, float] = {}
    for name, function in versions.items():
        with threads(1):
            result, first[name], peaks[name] = _traced(function, arguments)
        if name == "ours":
            ours = result
            continue
        try:
            kernel.agree(ours, result)
        except AssertionError as error:
            disagreements.append(f"{kernel.name} at {size}: {name}: {' '.join(str(error).split())[:200]}")
    for count in range(1, min(processors(), 2) + 1):
        once = first.get("naive", 0.0) > _LONG_S and not kernel.naive_loops
        slow = {"naive": first["naive"]} if once else {}
        quick = {name: function for name, function in versions.items() if name not in slow}
        with threads(count):
            seconds = _interleaved(quick, arguments) | (slow if count == 1 else {})
        rows.append(
            {
                "kernel": kernel.name,
                "size_px": size,
                "threads": count,
                "seconds": seconds,
                "ratio": {name: seconds[name] / seconds["ours"] for name in seconds if name != "ours"},
                "peak_mb": peaks,
                "peer": kernel.peer_name,
            }
        )
    return rows


def _traced(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float, float]:
    """Result, seconds, and the most memory in arrays held at once, in MB; buffers inside C++ are not seen."""
    tracemalloc.start()
    try:
        start = time.perf_counter()
        result = function(*arguments)
        return result, time.perf_counter() - start, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _interleaved(versions: dict[str, Callable[..., Any]], arguments: tuple[Any, ...]) -> dict[str, float]:
    """Shortest of three times of each version, taking turns; slow peers have one turn."""
    best = dict.fromkeys(versions, float("inf"))
    for turn in range(3):
        for name, function in versions.items():
            if turn and name == "peer" and best[name] > _LONG_S:
                continue
            start = time.perf_counter()
            function(*arguments)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def line(row: dict[str, Any]) -> str:
    """One row of the table."""

    def cell(values: dict[str, float], name: str, form: str) -> str:
        return format(values[name], form) if name in values else "-"

    cells = (
        *(cell(row["seconds"], name, ".4f") for name in ("ours", "naive", "peer")),
        *(cell(row["ratio"], name, ".1f") for name in ("naive", "peer")),
        *(cell(row["peak_mb"], name, ".0f") for name in ("ours", "naive")),
    )
    start = f"{row['kernel']:<30}  {row['size_px']:>10}  {row['threads']:>10}"
    return "  ".join([start, *(f"{text:>10}" for text in cells)])


def machine() -> dict[str, Any]:
    """What the numbers were measured on, without naming it."""
    from importlib.metadata import version

    from benchmarks.limits import processors

    names = ("numpy", "scipy", "scikit-image", "opencv-python-headless")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": processors(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }


def _versions(found: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['processors']} processors, {found['system']}, Python {found['python']}, {libraries}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="512 pixels square only")
    parser.add_argument("--only", default="", metavar="TEXT", help="kernels whose name contains this")
    parser.add_argument(
        "--out", type=Path, default=HERE / "results.json", help="JSON file (default: %(default)s)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
