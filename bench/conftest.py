"""What a bench of a kernel reports: GFLOP/s from the op's own count, and the fraction of the limit of the same run."""

import pytest

from shoal.kernels.cpu.limits import fma_gflops
from shoal.kernels.cpu.threads import threads


@pytest.fixture
def rate(benchmark):
    """rate(run, flops, dtype): times run() and adds gflops, limit_gflops, fraction and threads to the result."""

    def measure(run, flops, dtype):
        limit = fma_gflops(dtype)
        benchmark(run)
        limit = max(limit, fma_gflops(dtype))
        gflops = flops / benchmark.stats.stats.min / 1e9
        benchmark.extra_info.update(
            gflops=round(gflops, 2), limit_gflops=round(limit, 2), fraction=round(gflops / limit, 3), threads=threads()
        )

    return measure
