"""Prints GFLOP/s of products and convolutions and the fraction of the multiply-add limit, measured alternately.

python bench/of_the_limit.py [--threads N] [--dtype float64] [--json bench/results/FILE.json]

Fractions count: each round times the kernel and the limit one after the other, so a slow moment of a shared machine slows
both. Printed is the median over the rounds, with the lowest and the highest.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from bench_conv2d import LAYERS, calls
from bench_gemm import operands
from machine import machine

from shoal.kernels import ops
from shoal.kernels.cpu import limits, threads
from shoal.kernels.pool import Pool

ROUNDS, ROUND = 15, 0.02  # rounds, and seconds of calls in each
SHAPES = [(64, 64, 64), (512, 512, 512), (1024, 1024, 1024), (128, 512, 3136)]


def elapsed(run, calls):
    """Seconds that so many calls take."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def fraction(run, flops, dtype):
    """Medians of GFLOP/s and of the fraction of the limit, and the fraction's extremes."""
    run()
    calls_a_round = max(1, int(ROUND / elapsed(run, 1)))
    rates, fractions = [], []
    for _ in range(ROUNDS):
        rates.append(flops * calls_a_round / elapsed(run, calls_a_round) / 1e9)
        fractions.append(rates[-1] / limits.fma_gflops(dtype, seconds=0.01))
    return {
        "gflops": round(statistics.median(rates), 1),
        "fraction": round(statistics.median(fractions), 3),
        "lowest": round(min(fractions), 3),
        "highest": round(max(fractions), 3),
    }


def cases(dtype):
    """(name, run, flops) of every case."""
    pool = Pool()
    for shape in SHAPES:
        for transposes in ("NN", "NT", "TN", "TT"):
            how = {"trans_a": transposes[0] == "T", "trans_b": transposes[1] == "T"}
            a, b = operands(*shape, **how, dtype=dtype)
            c = np.empty(shape[:2], dtype)
            run = lambda a=a, b=b, c=c, how=how: ops.gemm(a, b, out=c, pool=pool, **how)  # noqa: E731
            yield f"gemm {'x'.join(map(str, shape))} {transposes}", run, ops.gemm.flops(a, b, **how)
    for layer in LAYERS:
        for which, (run, flops) in calls(layer, dtype).items():
            yield f"{layer} {which}", run, flops


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    threads.set_threads(options.threads)
    dtype = np.dtype(options.dtype).type
    limit = limits.fma_gflops(dtype)
    print(f"{options.threads} thread(s), {options.dtype}, limit {limit:.1f} GFLOP/s")
    results = {}
    for name, run, flops in cases(dtype):
        r = results[name] = fraction(run, flops, dtype)
        print(f"{name:<28} {r['gflops']:7.1f} GFLOP/s  {r['fraction']:4.0%}  ({r['lowest']:.0%} .. {r['highest']:.0%})")
    if options.json:
        setting = {"threads": options.threads, "dtype": options.dtype, "rounds": ROUNDS, "limit_gflops": round(limit, 1)}
        record = {"machine": machine("numpy", "numba", "llvmlite"), "setting": setting, "results": results}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
