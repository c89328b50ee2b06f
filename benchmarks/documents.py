"""Put what was measured of the core into the documents, and draw it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from benchmarks import tables
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
PLOTS = HERE / "plots"
PAGES = (HERE / "README.md", HERE.parent / "docs" / "performance.md")
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "bandwidth": tables.bandwidth_table,
    "bars": tables.bars_table,
    "kernels": lambda report: tables.kernels_table(report, most_threads=True),
    "all-kernels": tables.kernels_table,
    "flat": tables.flat_table,
    "load": tables.load_text,
    "radar": tables.radar_table,
    "left-out": tables.left_out_text,
}
_BLOCK = re.compile(r"(<!-- measured: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_INK = {"font.size": 9, "svg.hashsalt": "changedet", "svg.fonttype": "none", "axes.spines.top": False,
        "axes.spines.right": False}  # fmt: skip
_COLOURS = ("#1d4ed8", "#be123c", "#15803d", "#b45309", "#7c3aed", "#0e7490", "#475569", "#9d174d", "#a16207")


def write(report: dict[str, Any]) -> None:
    """Write the plots, and the tables between their marks."""
    PLOTS.mkdir(exist_ok=True)
    plot_cost(report["rows"], PLOTS / "cost-per-pixel.svg")
    plot_others(report["rows"], PLOTS / "beside-others.svg")
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8"), report), encoding="utf-8")
        print(f"written: {page}", file=sys.stderr)


def renewed(text: str, report: dict[str, Any]) -> str:
    """A document with its measured parts written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](report)}\n{found[3]}", text)


@mpl.rc_context(_INK)
def plot_cost(rows, path):
    """Time for each pixel against the number of pixels: flat where a kernel is linear."""
    most = max(row["threads"] for row in rows)
    by_kernel: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: row["size_px"]):
        if row["threads"] == most:
            point = row["size_px"] ** 2 / 1e6, tables.nanoseconds(row)
            by_kernel.setdefault(row["kernel"], []).append(point)
    long = {kernel: points for kernel, points in by_kernel.items() if points[-1][0] > 20}
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    panel = figure.subplots()
    for number, (kernel, points) in enumerate(long.items()):
        style = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": "-" if number < len(_COLOURS) else "--",
        }
        panel.plot(*zip(*points, strict=True), marker="o", markersize=4, **style, label=kernel)
    panel.set(xscale="log", yscale="log", xlabel="million pixels", ylabel=f"ns a pixel, {most} threads")
    panel.grid(color="#e5e7eb", linewidth=0.6)
    panel.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    save(figure, path)


@mpl.rc_context(_INK)
def plot_others(rows, path):
    """How many times as long others take, at the largest size at which they were measured."""
    most = max(row["threads"] for row in rows)
    found: dict[tuple[str, str], float] = {}
    for row in sorted(rows, key=lambda row: row["size_px"]):
        if row["threads"] == most:
            found |= {(row["kernel"], name): ratio for name, ratio in row["ratio"].items()}
    kernels = list(dict.fromkeys(kernel for kernel, _ in found))[::-1]
    names = sorted({name for _, name in found}, key=lambda name: (name != "naive", name))
    figure = Figure(figsize=(8.6, 0.27 * len(kernels) + 1), layout="constrained")
    panel = figure.subplots()
    for number, name in enumerate(names):
        points = [
            (found[kernel, name], place) for place, kernel in enumerate(kernels) if (kernel, name) in found
        ]
        label = "plain NumPy" if name == "naive" else name
        panel.plot(*zip(*points, strict=True), "o", color=_COLOURS[number % len(_COLOURS)], label=label)
    panel.axvline(1, color="#111827", linewidth=0.8)
    panel.set(xscale="log", xlabel="times as long as changedet (right of the line: changedet is faster)")
    panel.set_yticks(range(len(kernels)), kernels)
    panel.grid(color="#e5e7eb", linewidth=0.6)
    panel.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    save(figure, path)


def save(figure, path):
    """Write an SVG that is the same for the same numbers."""
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
