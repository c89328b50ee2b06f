"""Put what was measured of registration into docs/registration.md: two plots and two tables.

    python benchmarks/registration_plot.py

reads registration_results.json and registration_effect.json beside this file.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from benchmarks.registration import QUOTED  # noqa: E402
from benchmarks.registration_methods import METHODS  # noqa: E402

DOCS = HERE.parent / "docs"
PAGE = DOCS / "registration.md"
_MARKERS = {1098: "o", 5490: "s", 10980: "^"}
_OTHERS = ("#6b7280", "#0e7490", "#7c3aed", "#b45309", "#be123c", "#15803d", "#a16207", "#475569", "#9d174d")
_OURS = {"ours": "#1d4ed8", "ours global": "#60a5fa", "ours file": "#1e3a8a"}
_INK = {"font.size": 9, "svg.hashsalt": "changedet", "svg.fonttype": "none", "axes.spines.top": False,
        "axes.spines.right": False}  # fmt: skip


def main() -> None:
    """Write the plots, and the tables between their marks."""
    rows = json.loads((HERE / "registration_results.json").read_text())["rows"]
    effect = json.loads((HERE / "registration_effect.json").read_text())["mean"]
    with mpl.rc_context(_INK):
        plot_methods(rows, DOCS / "images" / "registration-methods.svg")
        plot_effect(effect, DOCS / "images" / "registration-effect.svg")
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("methods", methods_table(rows)), ("effect", effect_table(effect))):
        pattern = rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda found, t=table: found[1] + t + found[2], text, flags=re.DOTALL)
        if count != 1:
            sys.exit(f"{PAGE}: no place for the table {name}")
    PAGE.write_text(text, encoding="utf-8")


def plot_methods(rows, path):
    """Error against time, one panel for a field and one for a single shift."""
    figure = Figure(figsize=(9.4, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"C": "A smooth field, changes, clouds", "B": "One shift, changes, clouds"}
    shown = []
    for panel, (case, title) in zip(panels, titles.items(), strict=True):
        for number, method in enumerate(METHODS):
            points = [r for r in rows if (r["case"], r["method"]) == (case, method.name) and "seconds" in r]
            points = [r for r in points if "failed" not in r and (case == "B" or method.local)]
            if points:
                color = _OURS.get(method.name, _OTHERS[number % len(_OTHERS)])
                curve(panel, [(r["seconds"], r["rmse_clear_px"], r["size_px"]) for r in points], color)
                shown.append((method.title, color))
        if case == "C":
            quoted = [(seconds, error, size) for size, (seconds, _, _, error) in QUOTED.items()]
            curve(panel, quoted, "black", facecolor="white")
            shown.append(("AROSICS 1.13 (quoted, quiet machine)", "black"))
        panel.set(title=title, xscale="log", yscale="log", xlabel="seconds")
        panel.grid(color="#e5e7eb", linewidth=0.6)
        panel.set_axisbelow(True)
    panels[0].set_ylabel("error over clear ground, px (RMSE)")
    handles = [Line2D([], [], color=color, label=name) for name, color in dict(shown).items()]
    handles += [
        Line2D([], [], color="black", marker=m, linestyle="", label=f"{s} px") for s, m in _MARKERS.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
    save(figure, path)


def curve(panel, points, color, facecolor=None):
    """Connect the sizes of one method."""
    points = sorted(points, key=lambda point: point[2])
    panel.plot([p[0] for p in points], [p[1] for p in points], color=color, linewidth=1)
    for seconds, error, size in points:
        panel.plot(
            seconds, error, _MARKERS[size], color=color, markerfacecolor=facecolor or color, markersize=6
        )


def plot_effect(means, path):
    """Average precision against the residual."""
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    panel = figure.subplots()
    residuals = {name: float(name.split()[2]) for name in means if name.startswith("ours and")}
    x = [0, *residuals.values()]
    y = [means["ours"]["average_precision"], *(means[name]["average_precision"] for name in residuals)]
    panel.plot(x, y, "o-", color=_OURS["ours"])
    panel.annotate("registered", (0, y[0]), (6, 5), textcoords="offset points", color=_OURS["ours"])
    for name, color in (("none", "#be123c"), ("scikit-image, one shift", "#15803d")):
        value = means[name]["average_precision"]
        panel.axhline(value, color=color, linewidth=1, linestyle="--")
        label = "not registered" if name == "none" else name
        panel.annotate(label, (1, value), (0, -11), textcoords="offset points", color=color, ha="right")
    panel.set(xlabel="deliberate residual, px", ylabel="mean average precision")
    panel.margins(y=0.12)
    panel.grid(color="#e5e7eb", linewidth=0.6)
    save(figure, path)


def save(figure, path):
    """Write an SVG that is the same for the same numbers."""
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def methods_table(rows):
    """Errors of every case, and the times and memory of case C, by size."""
    lines = [
        "| pixels | method | A, px | B, px | D, px | C, px | C whole, px | s | CPU s | MB |",
        "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for size in sorted({row["size_px"] for row in rows}):
        for method in METHODS:
            found = {r["case"]: r for r in rows if (r["size_px"], r["method"]) == (size, method.name)}
            if found:
                timed = found.get("C") or next(iter(found.values()))
                errors = [error(found.get(case), "rmse_clear_px") for case in "ABDC"]
                cells = [str(size), method.title, *errors, error(found.get("C"), "rmse_all_px")]
                cells += [
                    cell(timed, "seconds", ".2f") + started(timed),
                    cell(timed, "cpu_seconds", ".2f"),
                    cell(timed, "peak_mb", ".0f"),
                ]
                lines.append("| " + " | ".join(cells) + " |")
        if size in QUOTED:
            estimate, whole, peak, rmse = QUOTED[size]
            lines.append(f"| {size} | *AROSICS 1.13, quoted* | | | | {rmse:.3f} | | "
                         f"{estimate:g} ({whole:g} in all) | | {peak} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def error(row, key):
    """One error; small ones need more digits."""
    if row is None:
        return ""
    return cell(row, key, ".4f" if row.get(key, 1) < 0.1 else ".2f")


def cell(row, key, form):
    """One number, or that there is none."""
    return "failed" if "failed" in row else format(row[key], form)


def started(row):
    """The time of the command with the start of Python, where there is one."""
    return f" ({row['started_s']:.2f} as a command)" if "started_s" in row else ""


def effect_table(means):
    """One row for each way of registering."""
    names = {
        "ours": "as `detect` does it",
        "none": "not registered",
        "scikit-image, one shift": "scikit-image, one shift",
    }
    lines = ["| registration | average precision | area under the curve | precision | recall |",
             "| --- | --: | --: | --: | --: |"]  # fmt: skip
    for name, values in means.items():
        title = names.get(name, f"a residual of {name.removeprefix('ours and ')} added")
        numbers = (values[key] for key in ("average_precision", "area_under_curve", "precision", "recall"))
        lines.append(f"| {title} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
