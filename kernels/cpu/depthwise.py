"""Depthwise convolution: nothing is summed over channels, so channels fill the vectors and pixels the rows of a tile.

Products per number read are few, so nothing may be copied: where padding or a stride takes taps away from some pixels,
the image is cut into rectangles of pixels that meet the same taps, and each is a product without borders. For y the rows
of a tile are pixels and the sum runs over taps; for dw it is the other way round; dx is y with the pixels and the taps
that meet exchanged, which leaves out what a stride has stepped over. All three are one driver, told apart by distances:

    y  [pixel][c] = sum_taps   x[pixel + tap][c] * w [tap][c]          rows: pixels of a rectangle      c: NR channels
    dw [tap][c]   = sum_pixels x[tap + pixel][c] * dy[pixel][c]        rows: taps that it meets

With M outputs for each channel, x is spread out to K channels first, so that every output channel has its own input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ...core.shape import Window
from .activation import gelu
from .brgemm import addresses
from .compile import kernel
from .depthwise_plan import Plan, correlation, gradient
from .depthwise_tile import depthwise_tile
from .scratch import empty
from .simd import MR, ROW_BYTES, VECTORS, WIDTH, lanes

TILES = 96 // MR  # whose addresses are found at once


def suits(w: Any, groups: int) -> bool:
    """Whether every group has one input channel."""
    return groups > 1 and w.shape[3] == 1


def forward(
    x: Any,
    w: Any,
    window: Window,
    out: Any,
    pool: Any,
    scale: Any = None,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
) -> None:
    """y = act(scale * (x * w) + bias + residual), w: (K, R, S, 1). The taps are copied anyway, so they take the scale."""
    x, taps = _spread(x, w.shape[0], pool), _taps_first(w, pool)
    if scale is not None:
        taps *= scale
    if residual is not None:
        out[...] = residual
    plan = correlation(window, x.shape[1:3], False, w.shape[0], x.dtype)
    _compute(plan, x, taps, out, pool, bias, activation, add=residual is not None)
    if activation == "gelu":
        gelu(out, out=out, pool=pool)


def dx(dy: Any, w: Any, window: Window, out: Any, pool: Any, bias: Any, activation: str | None) -> None:
    """The adjoint of forward in x."""
    plan = correlation(window, out.shape[1:3], True, w.shape[0], dy.dtype)
    if out.shape[3] == w.shape[0]:
        _compute(plan, dy, _taps_first(w, pool), out, pool, bias, activation)
        return
    each = empty(pool, (*out.shape, w.shape[0] // out.shape[3]), out.dtype)
    _compute(plan, dy, _taps_first(w, pool), each, pool, None, None)
    np.sum(each, axis=4, out=out)
    if bias is not None:
        out += bias
    if activation:
        np.maximum(out, 0, out=out)


def dw(x: Any, dy: Any, window: Window, out: Any, pool: Any, accumulate: bool) -> None:
    """The gradient by w: partial sums of the jobs, then their sum in float64, rounded once."""
    x = _spread(x, dy.shape[3], pool)
    plan = gradient(window, x.shape[1:3], dy.shape[3], x.dtype)
    partial = empty(pool, (len(x) * len(plan.products), out.size), out.dtype)
    partial.fill(0)
    _compute(plan, x, dy, partial, pool, None, None, add=True)
    total = partial.sum(axis=0, dtype=np.float64).reshape(-1, dy.shape[3]).T.reshape(out.shape)
    out[...] = out + total if accumulate else total


def _spread(x: Any, channels: int, pool: Any) -> Any:
    """x with every channel repeated until there are so many; x itself where there are."""
    times = channels // x.shape[3]
    if times == 1:
        return x
    wide = empty(pool, (*x.shape[:3], channels), x.dtype)
    for i in range(times):
        wide[..., i::times] = x
    return wide


def _taps_first(w: Any, pool: Any) -> np.ndarray:
    """w as [r][s][k]."""
    turned = empty(pool, (w.size // w.shape[0], w.shape[0]), w.dtype)
    turned[...] = w.reshape(w.shape[0], -1).T
    return turned


def _compute(
    plan: Plan, a: Any, b: Any, c: Any, pool: Any, bias: Any, activation: str | None, add: bool = False
) -> None:
    """Computes a Plan for all samples of a. c: written, or added to."""
    nr, everything = lanes(a.dtype), a.dtype.type(-np.inf)
    padded = np.zeros(-(-plan.steps.channels // nr) * nr, a.dtype)
    if bias is not None:
        padded[: plan.steps.channels] = bias
    _products(
        a.reshape(-1),
        b.reshape(-1),
        c.reshape(-1),
        padded,
        plan.products,
        plan.taps,
        plan.steps,
        empty(pool, (len(a) * len(plan.products), 2, TILES * MR), np.int64),
        int(add),
        a.dtype.type(0) if activation == "relu" else everything,
        work=len(a) * plan.flops,
    )


@kernel
def _products(a, b, c, bias, products, taps, s, table, accumulate, floor):
    size, lanes = a.itemsize, ROW_BYTES // a.itemsize
    for index in prange(table.shape[0]):
        job = np.int64(index)
        n, piece = divmod(job, products.shape[0])
        from_a, from_b = a.ctypes.data + n * s.a_sample * size, b.ctypes.data + n * s.b_sample * size
        to_c = c.ctypes.data + (n * s.c_sample + piece * s.c_piece) * size
        for j in range(products.shape[1]):
            p = products[piece, j]
            for first in range(0, p.rows, table.shape[2]):
                last = min(p.rows, first + table.shape[2])
                addresses(table[job, 0], first, last, from_a + p.a0 * size, p.rows, p.n2, 0, p.a1, p.a2, size)
                addresses(table[job, 1], first, last, to_c + p.c0 * size, p.rows, p.n2, 0, p.c1, p.c2, size)
                for i in range(0, last - first, MR):
                    for block in range(bias.size // lanes):
                        depthwise_tile(
                            table[job, 0].ctypes.data + 8 * i,
                            table[job, 1].ctypes.data + 8 * i,
                            block * ROW_BYTES,
                            last - first - i,
                            taps.ctypes.data + 24 * p.first,
                            p.last - p.first,
                            s.a_step * size,
                            from_b + block * ROW_BYTES,
                            s.b_step * size,
                            min(lanes, s.channels - block * lanes),
                            bias.ctypes.data + block * ROW_BYTES,
                            floor,
                            accumulate,
                            MR,
                            VECTORS,
                            WIDTH,
                        )
