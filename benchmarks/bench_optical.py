"""Time the kernels of `changedet.core.optical` beside plain NumPy and, where there is one, a peer."""

import pytest
from benchmarks.suite import cases, run


@pytest.mark.parametrize(("kernel", "size", "threads", "version"), cases("optical"))
def test_speed(benchmark, kernel, size, threads, version):
    run(benchmark, kernel, size, threads, version)
