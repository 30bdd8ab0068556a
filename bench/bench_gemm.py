"""How near to the multiply-add limit is a matrix product?"""

import numpy as np
import pytest
from kinds import HOW, prepared

from shoal.kernels import ops
from shoal.kernels.cpu.limits import fma_gflops
from shoal.kernels.pool import Pool

# (M, N, K); the last is lenet's dense layer
SHAPES = [(64, 64, 64), (512, 512, 512), (1024, 1024, 1024), (128, 512, 3136)]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("transposes", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def bench_gemm(measure, use_threads, shape, transposes, how):
    dtype = prepared(how, use_threads)
    (m, n, k), (trans_a, trans_b), rng = shape, (one == "T" for one in transposes), np.random.default_rng(0)
    a = rng.standard_normal((k, m) if trans_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if trans_b else (k, n)).astype(dtype)
    c, of_numpy, pool = np.empty((m, n), dtype), np.empty((m, n), dtype), Pool()
    trans = {"trans_a": trans_a, "trans_b": trans_b}
    left, right = a.T if trans_a else a, b.T if trans_b else b
    measure(
        lambda: ops.gemm(a, b, out=c, pool=pool, **trans),
        peers={"OpenBLAS": lambda: np.matmul(left, right, out=of_numpy)},
        limit=lambda: fma_gflops(dtype, seconds=0.01),
        work=ops.gemm.flops(a, b, **trans),
        intensity=ops.gemm.flops(a, b, **trans) / ops.gemm.bytes(a, b, **trans),
    )
    assert np.allclose(c, of_numpy, atol=1e-3)
