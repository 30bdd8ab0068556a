"""How near to the multiply-add limit is a matrix product?

python -m pytest bench/bench_gemm.py -o python_functions="bench_*" --benchmark-json=bench/results/gemm.json
"""

import numpy as np
import pytest

from shoal.kernels import ops
from shoal.kernels.pool import Pool

SQUARE = [(n, n, n) for n in (64, 128, 256, 512, 1024)]
DENSE = [(128, 512, 3136), (128, 10, 512), (128, 1024, 784)]  # (M, N, K) of the reference networks' dense layers


def operands(m, n, k, trans_a, trans_b, dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if trans_a else (m, k)).astype(dtype)
    return a, rng.standard_normal((n, k) if trans_b else (k, n)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("transposes", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("shape", SQUARE + DENSE, ids=lambda shape: "x".join(map(str, shape)))
def bench_gemm(rate, shape, transposes, dtype):
    how = {"trans_a": transposes[0] == "T", "trans_b": transposes[1] == "T"}
    (a, b), pool = operands(*shape, **how, dtype=dtype), Pool()
    c = np.empty(shape[:2], dtype)
    rate(lambda: ops.gemm(a, b, out=c, pool=pool, **how), ops.gemm.flops(a, b, **how), dtype)
