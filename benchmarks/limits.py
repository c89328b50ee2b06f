"""How many threads may work: in every pool, and by way of the processors they may use."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let `count` threads work inside the block.

    OpenCV, BLAS, numba and numexpr are told; SciPy's transforms and anything else are held to `count`
    processors by the affinity of the process, where the system has one (Linux). Elsewhere they use all.
    """
    before = cv2.getNumThreads()
    processors = _affinity()
    cv2.setNumThreads(count)
    _tell_compilers(count)
    _pin(processors[:count])
    try:
        with threadpool_limits(count):
            yield
    finally:
        _pin(processors)
        cv2.setNumThreads(before)
        _tell_compilers(len(processors) or count)


def _tell_compilers(count: int) -> None:
    """Tell numba and numexpr, where they are in use."""
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    if "numexpr" in sys.modules:
        sys.modules["numexpr"].set_num_threads(count)


def processors() -> int:
    """How many processors this process may use."""
    return len(_affinity()) or os.cpu_count() or 1


def _affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _pin(chosen: list[int]) -> None:
    """Pin every thread of this process; threads that start later inherit it."""
    if not chosen:
        return
    os.sched_setaffinity(0, chosen)
    for task in Path("/proc/self/task").glob("*"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), chosen)
