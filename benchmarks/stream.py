"""How fast this machine's memory is: copy and triad after STREAM, over arrays that no cache holds.

McCalpin 1995, "Memory Bandwidth and Machine Balance in Current High Performance Computers".
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from benchmarks.limits import processors, threads
from benchmarks.peers import installed

from changedet.core.blocks import run_blocks

#: Numbers in each of three arrays: 256 MB each.
LENGTH = 1 << 26
#: Numbers that one call works on: 512 kB, to be found in the cache by the next call.
_CHUNK = 1 << 17


def measure(length=LENGTH, turns=5):
    """Bandwidths in GB/s by number of threads and by name, the best of some turns."""
    a, b, c = (np.full(length, value, np.float32) for value in (0, 1, 2))
    found, works = {}, _works()
    for count in range(1, min(processors(), 2) + 1):
        with threads(count):
            seconds = {}
            for _ in range(turns):
                for name, (arrays, work) in works.items():
                    start = time.perf_counter()
                    work(a, b, c)
                    taken = time.perf_counter() - start
                    seconds[name] = min(seconds.get(name, np.inf), taken / arrays)
        found[count] = {name: a.nbytes / taken / 1e9 for name, taken in seconds.items()}
    return found


@cache
def _works():
    """Each measurement: how many arrays it reads or writes, and what does it."""
    works = {"copy, NumPy": (2, copy_numpy), "triad, NumPy": (3, triad_numpy)}
    if installed("numba"):
        compiled = _compiled()
        ones = np.ones(64, np.float32)
        for work in compiled.values():
            work(ones, ones, ones)
        works |= {"copy, numba": (2, compiled["copy"]), "triad, numba": (3, compiled["triad"])}
    return works


def _chunks(length):
    return [slice(start, start + _CHUNK) for start in range(0, length, _CHUNK)]


def copy_numpy(a, b, _):
    """a = b, each thread in one call."""
    run_blocks(lambda part: np.copyto(a[part], b[part]), _halves(a))


def triad_numpy(a, b, c):
    """a = b + 3 c, a chunk at a time."""

    def work(half):
        for part in _chunks(half.stop - half.start):
            out = a[half][part]
            np.multiply(c[half][part], np.float32(3), out=out)
            np.add(out, b[half][part], out=out)

    run_blocks(work, _halves(a))


def _halves(array):
    middle = len(array) // 2
    return [slice(0, middle), slice(middle, len(array))]


def _compiled():
    import numba

    @numba.njit(parallel=True)
    def copy(a, b, c):
        for i in numba.prange(len(a)):
            a[i] = b[i]

    @numba.njit(parallel=True, fastmath=True)
    def triad(a, b, c):
        for i in numba.prange(len(a)):
            a[i] = b[i] + np.float32(3) * c[i]

    return {"copy": copy, "triad": triad}
