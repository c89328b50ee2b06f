"""What was measured, as lines on a terminal and as tables in documents."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
Row = dict[str, Any]

_COLUMNS = ("kernel", "Mpx", "threads", "seconds", "ns/px", "memory", "naive", "MB", "others")
_WIDTHS = (31, 7, 7, 9, 8, 7, 7, 7, 7)


def share(row: Row, bandwidth: dict[str, dict[str, float]]) -> float | None:
    """Which share of the memory's bandwidth a kernel reaches with what it has to read and write."""
    found = [
        speed
        for count, speeds in bandwidth.items()
        if int(count) <= row["threads"]
        for speed in speeds.values()
    ]
    return row["bytes"] / row["seconds"]["ours"] / 1e9 / max(found) if found else None


def nanoseconds(row: Row) -> float:
    """Time for each pixel."""
    return row["seconds"]["ours"] / row["size_px"] ** 2 * 1e9


def cells(row: Row, bandwidth: dict[str, dict[str, float]]) -> list[str]:
    """One row of either table, without the other libraries."""
    reached = share(row, bandwidth)
    ratio = row["ratio"].get("naive")
    return [
        f"{row['size_px'] ** 2 / 1e6:.3g}",
        str(row["threads"]),
        f"{row['seconds']['ours']:.4f}",
        f"{nanoseconds(row):.1f}",
        "-" if reached is None else f"{reached:.0%}",
        "-" if ratio is None else f"{ratio:.1f}",
        f"{row['peak_mb']['ours']:.0f}",
        f"{row['others']:.1f}",
    ]


def beside(row: Row) -> str:
    """How many times as long as ours every other library takes."""
    return ", ".join(f"{name} {ratio:.1f}" for name, ratio in row["ratio"].items() if name != "naive")


def heading() -> str:
    """The head of the table on a terminal."""
    return _aligned([*_COLUMNS, "other libraries"])


def line(row: Row, bandwidth: dict[str, dict[str, float]]) -> str:
    """One row of the table on a terminal."""
    return _aligned([row["kernel"], *cells(row, bandwidth), beside(row)])


def _aligned(texts: list[str]) -> str:
    first, *others, last = texts
    return "  ".join(
        [f"{first:<{_WIDTHS[0]}}", *(f"{t:>{w}}" for t, w in zip(others, _WIDTHS[1:], strict=True)), last]
    )


def bandwidth_text(report: Report) -> str:
    """How fast the memory is, a line for each number of threads."""
    return "\n".join(
        f"memory, {count} thread{'s' if count != '1' else ''}: "
        + ", ".join(f"{name} {speed:.1f} GB/s" for name, speed in found.items())
        for count, found in report["bandwidth"].items()
    )


def machine_text(report: Report) -> str:
    """What the numbers were measured on."""
    found = report["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"{found['processors']} processors ({found['processor']}), {found['system']}, "
        f"Python {found['python']}, {libraries}"
    )


def bars(report: Report) -> list[dict[str, Any]]:
    """Every bar with what was measured: the most threads, and the largest size at which both versions ran."""
    from benchmarks.kernels import KERNELS

    found = []
    for kernel in KERNELS:
        for version, least in kernel.bars.items():
            rows = [r for r in report["rows"] if r["kernel"] == kernel.name and version in r["ratio"]]
            if rows:
                row = max(rows, key=lambda r: (r["threads"], r["size_px"]))
                ratio = row["ratio"][version]
                found.append({"kernel": kernel.name, "version": version, "least": least, "ratio": ratio,
                              "size_px": row["size_px"], "held": ratio >= least})  # fmt: skip
    return found


def bars_text(report: Report) -> str:
    """The bars, a line for each."""
    return "\n".join(
        f"{'held  ' if bar['held'] else 'MISSED'}  {bar['kernel']}: {bar['version']} takes "
        f"{bar['ratio']:.2f} times as long, bar {bar['least']:g} ({bar['size_px']} px)"
        for bar in bars(report)
    )


def markdown(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A table whose first columns are aligned left."""
    marks = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows)) + "\n"


def bandwidth_table(report: Report) -> str:
    """The speed of the memory."""
    names = next(iter(report["bandwidth"].values()))
    rows = [[count, *(f"{found[n]:.1f}" for n in names)] for count, found in report["bandwidth"].items()]
    return machine_text(report) + ".\n\n" + markdown(["threads", *(f"{n}, GB/s" for n in names)], rows, 0)


def bars_table(report: Report) -> str:
    """The bars and what was measured."""
    rows = []
    for bar in bars(report):
        numbers = f"{bar['least']:g}", f"{bar['ratio']:.1f}", _mpx(bar)
        rows.append([f"`{bar['kernel']}`", bar["version"], *numbers, "yes" if bar["held"] else "**no**"])
    return markdown(["kernel", "beside", "at least", "measured", "Mpx", "held"], rows, 2)


def kernels_table(report: Report, most_threads: bool = False) -> str:
    """Every row, or those with the most threads."""
    most = max(row["threads"] for row in report["rows"])
    rows = [row for row in report["rows"] if not most_threads or row["threads"] == most]
    order = list(dict.fromkeys(row["kernel"] for row in report["rows"]))
    rows.sort(key=lambda row: (order.index(row["kernel"]), row["size_px"], row["threads"]))
    head = [*_COLUMNS[:6], "naive/ours", "MB", "others", "other libraries/ours"]
    lines = [[f"`{row['kernel']}`", *cells(row, report["bandwidth"]), beside(row) or "-"] for row in rows]
    if most_threads:
        head, lines = _without(head), [_without(one) for one in lines]
    return markdown(head, lines)


def _without(cells_of_row: list[str]) -> list[str]:
    """Leave out threads and others."""
    return [cell for place, cell in enumerate(cells_of_row) if place not in {2, 8}]


def left_out_text(report: Report) -> str:
    """What was not measured, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for row in report["left_out"]:
        reasons.setdefault(f"{row['why']}", {})[f"`{row['kernel']}` ({_mpx(row)} Mpx)"] = None
    return "\n".join(f"* {why}: {', '.join(which)}" for why, which in reasons.items()) + "\n"


def _mpx(row: Row) -> str:
    return f"{row['size_px'] ** 2 / 1e6:.3g}"
