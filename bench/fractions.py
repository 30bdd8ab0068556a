"""Prints GFLOP/s of products and convolutions and the fraction of the multiply-add limit, measured alternately.

python bench/fractions.py [--threads N] [--dtype float64]
"""

import argparse
import time

import numpy as np
from bench_conv2d import LAYERS, calls
from bench_gemm import operands

from shoal.kernels import ops
from shoal.kernels.cpu import limits, threads
from shoal.kernels.pool import Pool

ROUNDS = 7


def fraction(run, flops, dtype):
    """(GFLOP/s, fraction of the limit): the best of some rounds of either, taken in turn."""
    run()
    best, limit = 0.0, 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = max(best, flops / (time.perf_counter() - start) / 1e9)
        limit = max(limit, limits.fma_gflops(dtype, seconds=0.01))
    return best, best / limit


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    options = parser.parse_args()
    threads.set_threads(options.threads)
    dtype, pool = np.dtype(options.dtype).type, Pool()
    print(f"{options.threads} thread(s), {options.dtype}, limit {limits.fma_gflops(dtype):.1f} GFLOP/s")
    for shape in [(64, 64, 64), (512, 512, 512), (1024, 1024, 1024), (128, 512, 3136)]:
        for transposes in ("NN", "NT", "TN", "TT"):
            how = {"trans_a": transposes[0] == "T", "trans_b": transposes[1] == "T"}
            a, b = operands(*shape, **how, dtype=dtype)
            c = np.empty(shape[:2], dtype)
            flops = ops.gemm.flops(a, b, **how)
            rate = fraction(lambda a=a, b=b, c=c, how=how: ops.gemm(a, b, out=c, pool=pool, **how), flops, dtype)
            print(f"gemm {shape!s:>18} {transposes:<8} {rate[0]:7.1f} GFLOP/s  {rate[1]:4.0%}")
    for layer in LAYERS:
        for which, (run, flops) in calls(layer, dtype).items():
            rate = fraction(run, flops, dtype)
            print(f"{layer:>23} {which:<8} {rate[0]:7.1f} GFLOP/s  {rate[1]:4.0%}")


if __name__ == "__main__":
    main()
