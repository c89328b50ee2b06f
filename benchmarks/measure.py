"""Measure one kernel at one size in a process of its own, so that its memory is its own.

    python -m benchmarks.measure NAME SIZE

prints one JSON document. Versions take turns, so that a busy machine slows all of them alike; the shortest of
their times counts. Each first gives its result, which has to agree with ours, and its peak of memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.kernels import kernel_named
from benchmarks.limits import processors, threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.kernels import Kernel

TURNS = 5
#: A version that takes longer has fewer turns. Not only one, if it can be helped: what the system takes to
#: give out memory differs tenfold from call to call.
_LONG_S, _VERY_LONG_S = 2.0, 10.0


@dataclass
class Timed:
    """The best of some turns."""

    seconds: float = float("inf")
    cpu_seconds: float = float("inf")

    def take(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Run once; keep the time if it is the best."""
        start, busy = time.perf_counter(), time.process_time()
        result = function(*arguments)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - busy
        if seconds < self.seconds:
            self.seconds, self.cpu_seconds = seconds, cpu_seconds
        return result


def measure(kernel: Kernel, size: int) -> dict[str, Any]:
    """Check and time one kernel at one size: one row for each number of threads, and what disagreed."""
    arguments = kernel.prepare(size)
    whole_mb = _status_mb("VmHWM")
    versions = kernel.versions(size)
    counts = range(min(processors(), 2), 0, -1)
    peaks, disagreements, first = {}, [], {}
    clock = Clock()
    with threads(counts[0]):
        first["ours"] = Timed()
        ours, peaks["ours"] = peak_mb(first["ours"].take, (kernel.ours, arguments))
        whole_mb = max(whole_mb, _status_mb("VmHWM"))
        moved = _bytes(arguments) + _bytes(ours)
        for name in [name for name in versions if name != "ours"]:
            if name in kernel.compiled:
                versions[name](*arguments)
            first[name] = Timed()
            result, peaks[name] = peak_mb(first[name].take, (versions[name], arguments))
            try:
                kernel.agree(ours, result)
            except AssertionError as error:
                disagreements.append(f"{kernel.name} at {size}: {name}: {' '.join(str(error).split())[:200]}")
            del result
    del ours
    rows = []
    for count in counts:
        # the first runs are times as well, with the most threads
        again = count != counts[0]
        clock = Clock() if again else clock
        turns = {name: _turns(first[name].seconds, again) for name in versions}
        timed = {name: Timed() if again else first[name] for name in versions}
        with threads(count):
            for turn in range(TURNS):
                for name in versions:
                    if turn < turns[name]:
                        timed[name].take(versions[name], arguments)
            others = clock.others()
        rows.append(_row(kernel, size, count, timed) | {"bytes": moved, "peak_mb": peaks, "others": others})
    return {
        "rows": rows[::-1],
        "disagreements": disagreements,
        "whole_mb": whole_mb,
        "left_out": kernel.left_out(size),
    }


def _turns(seconds: float, again: bool) -> int:
    """How often a version runs that takes so long: not again what takes very long and was timed already."""
    if seconds > _VERY_LONG_S:
        return int(again)
    return TURNS if seconds < _LONG_S else 2


def _row(kernel: Kernel, size: int, count: int, timed: dict[str, Timed]) -> dict[str, Any]:
    ours = timed["ours"].seconds
    return {
        "kernel": kernel.name,
        "size_px": size,
        "threads": count,
        "seconds": {name: one.seconds for name, one in timed.items()},
        "cpu_seconds": {name: one.cpu_seconds for name, one in timed.items()},
        "ratio": {name: one.seconds / ours for name, one in timed.items() if name != "ours"},
    }


def _bytes(values: Any) -> int:
    """What arrays take: the least that has to be read or written."""
    if isinstance(values, np.ndarray):
        return values.nbytes
    return sum(_bytes(value) for value in values) if isinstance(values, tuple) else 0


def peak_mb(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    """Result, and by how much the memory of this process grew at most while it was made, C++ included."""
    _give_back()
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        forget.write_text("5")  # the peak starts anew
    before = _status_mb("VmRSS")
    result = function(*arguments)
    return result, _status_mb("VmHWM") - before


def _give_back() -> None:
    """Give free memory back to the system, so that using it anew is seen; glibc only."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _status_mb(name: str) -> float:
    """A figure of this process's memory; elsewhere than on Linux the largest there was."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class Clock:
    """How many processors worked for others since this was made; NaN where the system does not say."""

    def __init__(self) -> None:
        self._start = self._now()

    def others(self) -> float:
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - own) / wall)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        busy, stat = float("nan"), Path("/proc/stat")
        if stat.exists():
            user, nice, system, _, _, irq, soft, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
            busy = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, time.process_time()


def main(arguments: list[str]) -> None:
    """Print what was measured; `stream` is the memory, `radar.stack` what works on a stack of radar."""
    name, size = arguments
    if name == "radar.stack":
        from benchmarks import radar

        print(json.dumps({"rows": radar.speed(side=int(size))}))
        return
    if name == "stream":
        from benchmarks import stream

        print(json.dumps(stream.measure(int(size)) if int(size) else stream.measure()))
        return
    print(json.dumps(measure(kernel_named(name), int(size))))


if __name__ == "__main__":
    main(sys.argv[1:])
