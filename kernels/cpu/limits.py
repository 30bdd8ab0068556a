"""What this core can do at most: the figures every bench divides by, measured in the same run.

A nameplate clock is no limit in a container; so the multiply-add limit is a loop of nothing but multiply-adds in
registers, and the bandwidth limit a triad over arrays that no cache holds, whose stores bypass the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from ..pool import Pool
from .compile import kernel
from .simd import WIDTH, Vectors
from .threads import threads

CHAINS = 12  # independent sums: more than latency x units of any CPU so far, and they fit 16 registers


@intrinsic(prefer_literal=True)
def multiply_adds(typing: Any, x: Any, count: Any, width: Any) -> Any:
    """CHAINS sums in registers, each s <- s*x + x, count times; returns their sum, so that none is optimised away."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, x, width.literal_value)
        start, body, end = builder.block, builder.append_basic_block("fma"), builder.append_basic_block("fma.end")
        factor = e.splat(args[0])
        builder.branch(body)
        builder.position_at_end(body)
        left = e.phi(ir.IntType(64), (args[1], start))
        sums = [e.phi(e.vector, (ir.Constant(e.vector, [float(i)] * e.lanes), start)) for i in range(CHAINS)]
        new = [e.fma(s, factor, factor) for s in sums]
        rest = builder.sub(left, e.integer(1))
        for phi, value in zip([left, *sums], [rest, *new], strict=True):
            phi.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed(">", rest, e.integer(0)), body, end)
        builder.position_at_end(end)
        total = new[0]
        for s in new[1:]:
            total = builder.fadd(total, s)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return x(x, types.int64, width), emit


@intrinsic
def store_past_caches(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index] = value with a non-temporal store; `array` starts at a multiple of 64 bytes."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        builder.store(args[2], builder.gep(data, [args[1]])).set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), emit


@kernel
def _spin(x, count, out):
    for i in prange(out.shape[0]):
        out[i] = multiply_adds(x, count, WIDTH)


@kernel
def _triad(a, b, c, scale, chunks):
    length = a.shape[0] // chunks
    for index in prange(chunks):
        chunk = np.int64(index)
        for i in range(chunk * length, (chunk + 1) * length):
            store_past_caches(a, i, b[i] + scale * c[i])


def fma_gflops(dtype: Any = np.float32, seconds: float = 0.05) -> float:
    """GFLOP/s of multiply-adds alone, on threads() cores."""
    dtype, out = np.dtype(dtype), np.empty(threads(), dtype)
    count = 1_000_000
    flops = 2 * CHAINS * (WIDTH // dtype.itemsize) * count * len(out)
    return flops / _best(lambda: _spin(dtype.type(0.5), count, out, work=flops), seconds) / 1e9


def triad_gbytes(nbytes: int, seconds: float = 0.2) -> float:
    """GB/s of a[i] = b[i] + s*c[i], three arrays of nbytes each (take 4 times the last cache), on threads() cores."""
    n = nbytes // 8 // 64 * 64
    a, b, c = (Pool().zeros(n, np.float64) for _ in range(3))
    return 24 * n / _best(lambda: _triad(a, b, c, 3.0, 64, work=nbytes), seconds) / 1e9


def _best(run: Callable[[], Any], seconds: float) -> float:
    """The shortest of repeated runs, in seconds."""
    run()
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop or best == float("inf"):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best
