"""What the `bench_*.py` files share: one test per kernel, size, number of threads and version."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from benchmarks.kernels import SIZES, kernels_of
from benchmarks.limits import processors, threads

if TYPE_CHECKING:
    from benchmarks.kernels import Kernel
    from pytest_benchmark.fixture import BenchmarkFixture


@lru_cache(maxsize=1)
def _arguments(kernel: Kernel, size: int):
    return kernel.prepare(size)


@lru_cache(maxsize=1)
def _ours(kernel: Kernel, size: int):
    return kernel.ours(*_arguments(kernel, size))


def cases(module: str):
    """Parameters of a benchmark of one module of the core: (kernel, size, threads, version)."""
    return [
        pytest.param(kernel, size, count, version, id=f"{kernel.name}-{size}-{count}threads-{version}")
        for kernel in kernels_of(module)
        for size in SIZES
        for count in range(1, processors() + 1)
        if count in (1, 2)
        for version in kernel.versions(size)
    ]


def run(benchmark: BenchmarkFixture, kernel: Kernel, size: int, count: int, version: str) -> None:
    """Time one version after showing that it gives the same result as ours."""
    arguments, ours = _arguments(kernel, size), _ours(kernel, size)
    benchmark.group = f"{kernel.name} {size} px, {count} thread(s)"
    with threads(count):
        result = benchmark.pedantic(
            kernel.versions(size)[version], args=arguments, rounds=3, warmup_rounds=1, iterations=1
        )
    if version != "ours":
        kernel.agree(ours, result)
