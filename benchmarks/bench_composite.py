"""Time the kernels of `changedet.core.composite` beside plain NumPy and, where there is one, a peer."""

import pytest
from benchmarks.suite import cases, run


@pytest.mark.parametrize(("kernel", "size", "threads", "version"), cases("composite"))
def test_speed(benchmark, kernel, size, threads, version):
    run(benchmark, kernel, size, threads, version)
