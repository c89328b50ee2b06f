"""What was measured, as lines on a terminal and as tables in documents."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
Row = dict[str, Any]

_COLUMNS = ("kernel", "Mpx", "threads", "seconds", "ns/px", "memory", "naive", "MB", "others")
#: From so many pixels on a side a size counts as large.
_LARGE_PX = 5000
#: How many sums of the stack works on radar may take.
RADAR_BARS = {"t_test": 2.5, "omnibus": 25.0}
_WIDTHS = (31, 7, 7, 9, 8, 7, 7, 7, 7)


def fastest(bandwidth: dict[str, dict[str, float]], threads: int) -> float | None:
    """The fastest copy or triad of at most so many threads, GB/s; None where nothing was measured."""
    found = [
        speed for count, speeds in bandwidth.items() if int(count) <= threads for speed in speeds.values()
    ]
    return max(found, default=None)


def share(row: Row) -> float | None:
    """Which share of the memory's bandwidth a kernel reaches with what it has to read and write."""
    speed = row["memory_gb_s"]
    return row["bytes"] / row["seconds"]["ours"] / 1e9 / speed if speed else None


def nanoseconds(row: Row) -> float:
    """Time for each pixel."""
    return row["seconds"]["ours"] / row["size_px"] ** 2 * 1e9


def cells(row: Row) -> list[str]:
    """One row of either table, without the other libraries."""
    reached = share(row)
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


def line(row: Row) -> str:
    """One row of the table on a terminal."""
    return _aligned([row["kernel"], *cells(row), beside(row)])


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
    """Every bar with what was measured with the most threads; the largest size at which both ran decides."""
    from benchmarks.kernels import KERNELS

    found = []
    for kernel in KERNELS:
        for version, least in kernel.bars.items():
            rows = [r for r in report["rows"] if r["kernel"] == kernel.name and version in r["ratio"]]
            most = max((r["threads"] for r in rows), default=0)
            ratios = {r["size_px"]: r["ratio"][version] for r in rows if r["threads"] == most}
            if ratios:
                size = max(ratios)
                found.append({"kernel": kernel.name, "version": version, "least": least, "size_px": size,
                              "ratios": dict(sorted(ratios.items())), "ratio": ratios[size],
                              "held": ratios[size] >= least})  # fmt: skip
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
    names = next(iter(report["bandwidth"].values()), {})
    rows = [[count, *(f"{found[n]:.1f}" for n in names)] for count, found in report["bandwidth"].items()]
    return machine_text(report) + ".\n\n" + markdown(["threads", *(f"{n}, GB/s" for n in names)], rows, 0)


def bars_table(report: Report) -> str:
    """The bars and what was measured."""
    rows = []
    for bar in bars(report):
        every = ", ".join(f"{ratio:.3g} ({size**2 / 1e6:.3g} Mpx)" for size, ratio in bar["ratios"].items())
        held = "yes" if bar["held"] else "**no**"
        rows.append([f"`{bar['kernel']}`", bar["version"], every, f"{bar['least']:g}", held])
    return markdown(["kernel", "beside", "measured", "at least", "held"], rows, 3)


def kernels_table(report: Report, most_threads: bool = False) -> str:
    """Every row, or those with the most threads."""
    most = max(row["threads"] for row in report["rows"])
    rows = [row for row in report["rows"] if not most_threads or row["threads"] == most]
    order = list(dict.fromkeys(row["kernel"] for row in report["rows"]))
    rows.sort(key=lambda row: (order.index(row["kernel"]), row["size_px"], row["threads"]))
    head = [*_COLUMNS[:6], "naive/ours", "MB", "others", "other libraries/ours"]
    lines = [[f"`{row['kernel']}`", *cells(row), beside(row) or "-"] for row in rows]
    if most_threads:
        head, *lines = [one[:2] + one[3:] for one in (head, *lines)]
    return markdown(head, lines)


def flat_table(report: Report) -> str:
    """Time for each pixel at every size, of what is measured up to large ones, and what threads gain."""
    most = max(row["threads"] for row in report["rows"])
    at = {(row["kernel"], row["size_px"], row["threads"]): row for row in report["rows"]}
    sizes = sorted({size for _, size, _ in at})
    head = [
        "kernel",
        *(f"{size**2 / 1e6:.3g} Mpx" for size in sizes),
        "largest/next",
        "MB/Mpx",
        "1/all threads",
    ]
    lines = []
    for kernel in dict.fromkeys(row["kernel"] for row in report["rows"]):
        rows = [at[kernel, size, most] for size in sizes if (kernel, size, most) in at]
        if len(rows) < 2 or rows[-1]["size_px"] < _LARGE_PX:
            continue
        last = rows[-1]
        alone = at.get((kernel, last["size_px"], 1), last)
        found = {row["size_px"]: f"{nanoseconds(row):.1f}" for row in rows}
        lines.append([
            f"`{kernel}`",
            *(found.get(size, "-") for size in sizes),
            f"{nanoseconds(last) / nanoseconds(rows[-2]):.2f}",
            f"{last['peak_mb']['ours'] / (last['size_px'] ** 2 / 1e6):.1f}",
            f"{alone['seconds']['ours'] / last['seconds']['ours']:.2f}",
        ])  # fmt: skip
    return markdown(head, lines)


def load_text(report: Report) -> str:
    """How busy others kept the machine meanwhile."""
    others = sorted(row["others"] for row in report["rows"])
    middle, high = (others[int(share * (len(others) - 1))] for share in (0.5, 0.9))
    text = (
        f"The machine was not ours alone: on {report['machine']['processors']} processors others kept "
        f"{middle:.1f} busy in the median of the measurements and {high:.1f} in a tenth of them. A second "
        "thread then finds no processor, and new memory is slow to come, for which versions with large "
        "temporaries wait: their ratios are too high. Shares of the memory are of the fastest it was seen "
        "to be.\n"
    )
    earlier = dict.fromkeys(
        f"`{row['kernel']}` ({_mpx(row)} Mpx)" for row in report["rows"] if "earlier" in row
    )
    if earlier:
        text += f"\nNot measured anew, but taken from an earlier round and its code: {', '.join(earlier)}.\n"
    return text


def radar_table(report: Report) -> str:
    """What works on a stack of radar take, in sums of it."""
    rows = []
    for row in report.get("radar", ()):
        most = RADAR_BARS.get(row["work"])
        times = row["times the sum"]
        held = "" if most is None else "yes" if times <= most else "**no**"
        rows.append([
            row["work"] if " " in row["work"] else f"`{row['work']}`",
            f"{row['seconds']:.3f}",
            f"{times:.1f}",
            f"{row['times the sum, cpu']:.1f}",
            "-" if most is None else f"{most:g}",
            held or "-",
            f"{row['peak MB']:.0f}",
        ])  # fmt: skip
    head = ["work", "seconds", "in sums", "processor time, in sums", "at most", "held", "MB"]
    return markdown(head, rows)


def left_out_text(report: Report) -> str:
    """What was not measured, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for row in report["left_out"]:
        reasons.setdefault(f"{row['why']}", {})[f"`{row['kernel']}` ({_mpx(row)} Mpx)"] = None
    return "\n".join(f"* {why}: {', '.join(which)}" for why, which in reasons.items()) + "\n"


def _mpx(row: Row) -> str:
    return f"{row['size_px'] ** 2 / 1e6:.3g}"
