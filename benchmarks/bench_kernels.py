"""Time every kernel of the core with pytest-benchmark: one test for each size and version."""

from __future__ import annotations

from functools import lru_cache

import pytest
from benchmarks.kernels import KERNELS, QUICK_SIZE, SIZES
from benchmarks.limits import processors, threads


@lru_cache(maxsize=1)
def _arguments(kernel, size):
    return kernel.prepare(size)


@lru_cache(maxsize=1)
def _ours(kernel, size):
    return kernel.ours(*_arguments(kernel, size))


def cases():
    """Parameters: kernel, size, threads, version."""
    return [
        pytest.param(kernel.name, size, count, version, id=f"{kernel.name}-{size}-{count}threads-{version}")
        for kernel in KERNELS
        for size in (QUICK_SIZE, *SIZES[:3])
        if size <= kernel.up_to
        for count in range(1, min(processors(), 2) + 1)
        for version in kernel.versions(size)
    ]


@pytest.mark.parametrize(("name", "size", "count", "version"), cases())
def test_speed(benchmark, name, size, count, version):
    """Time one version after showing that it gives the same result as ours."""
    kernel = next(kernel for kernel in KERNELS if kernel.name == name)
    arguments, ours = _arguments(kernel, size), _ours(kernel, size)
    benchmark.group = f"{name} {size} px, {count} thread(s)"
    with threads(count):
        result = benchmark.pedantic(
            kernel.versions(size)[version], args=arguments, rounds=3, warmup_rounds=1, iterations=1
        )
    if version != "ours":
        kernel.agree(ours, result)
