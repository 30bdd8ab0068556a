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

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import gcd
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ...core.shape import Pair, Window, prod
from .brgemm import ROW_BYTES, TILES, addresses, empty, lanes
from .compile import kernel
from .depthwise_tile import depthwise_tile
from .simd import MR, VECTORS, WIDTH

ROWS = 2 * MR  # of pixels in a job: so a border one pixel wide fills tiles too


def suits(w: Any, groups: int) -> bool:
    """Whether every group has one input channel."""
    return groups > 1 and w.shape[3] == 1


def forward(x: Any, w: Any, window: Window, out: Any, pool: Any, bias: Any, activation: str | None) -> None:
    """y = act(x * w + bias), w: (K, R, S, 1)."""
    x = _spread(x, w.shape[0], pool)
    plan = correlation(window, x.shape[1:3], False, w.shape[0], x.dtype)
    _compute(plan, x, _taps_first(w, pool), out, pool, bias, activation)


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
    partial = empty(pool, (len(x) * len(plan.rectangles), out.size), out.dtype)
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


# ---------------------------------------------------------------------------------------------------- which meets which


class Run(NamedTuple):
    """`places` of an axis that meet the same `taps` taps; the first place meets the first of them at `at`."""

    place: int
    places: int
    at: int
    tap: int
    taps: int


class Axis(NamedTuple):
    """All places of an axis in runs, and four distances: to the next place, in the output and in the input; to the next
    tap, in the filter and in the input."""

    runs: list[Run]
    place: int
    at: int
    tap: int
    at_tap: int


def axis(size: int, window: Window, i: int, adjoint: bool, most: int) -> Axis:
    """Axis i of an input of `size` pixels; adjoint: these are the output. Runs are cut at `most` places."""
    k, s, d, before = window.kernel[i], window.stride[i], window.dilation[i], window.padding[i][0]
    outs = (size + sum(window.padding[i]) - d * (k - 1) - 1) // s + 1
    meetings = [(p, r, s * p - before + d * r) for p in range(outs) for r in range(k)]
    meetings = [(p, r, h) for p, r, h in meetings if 0 <= h < size]
    if not adjoint:
        return Axis(_runs(meetings, outs, 1, most), 1, s, 1, d)
    meetings = sorted((h, r, p) for p, r, h in meetings)
    return Axis(_runs(meetings, size, s, most), s, 1, s // gcd(s, d), -d // gcd(s, d))


def _runs(meetings: list[tuple[int, int, int]], places: int, step: int, most: int) -> list[Run]:
    """Runs of places `step` apart, from (place, tap, at) in this order."""
    met: list[list] = [[] for _ in range(places)]
    for place, tap, at in meetings:
        met[place].append((tap, at))
    runs = []
    for phase in range(min(step, places)):
        alike = groupby(range(phase, places, step), lambda place: (len(met[place]), met[place][:1] and met[place][0][0]))
        for (taps, _), group in alike:
            same = list(group)
            for start in range(0, len(same), most):
                tap, at = met[same[start]][0] if taps else (0, 0)
                runs.append(Run(same[start], len(same[start : start + most]), at, tap, taps))
    return runs


# --------------------------------------------------------------------------------------------------------- the products


class Rectangle(NamedTuple):
    """A product: rows of a tile with digits (i1, i2), i2 < n2, and their distances in A and C; bounds of its taps."""

    rows: int
    n2: int
    a0: int
    a1: int
    a2: int
    c0: int
    c1: int
    c2: int
    first: int
    last: int


class Steps(NamedTuple):
    """Distances in numbers, not bytes; c_piece: between the results of the jobs of one sample."""

    a_sample: int
    b_sample: int
    c_sample: int
    c_piece: int
    a_step: int
    b_step: int
    channels: int


@dataclass(frozen=True)
class Plan:
    """The products of a sample; rectangles: (jobs, products of a job) Rectangles.   taps: (T, 3), for the tile."""

    rectangles: np.ndarray
    taps: np.ndarray
    steps: Steps
    flops: int


@lru_cache(maxsize=256)
def correlation(window: Window, size: Pair, adjoint: bool, c: int, dtype: np.dtype) -> Plan:
    """For an image x of `size`; adjoint: for its dx, where A is dy."""
    rows, columns = axis(size[0], window, 0, adjoint, ROWS), axis(size[1], window, 1, adjoint, size[1])
    a, y = (window.out(*size), size) if adjoint else (size, window.out(*size))
    taps: list[tuple[int, int, int]] = []

    def rectangle(i: Run, j: Run) -> Rectangle:
        meet = range(i.taps if j.taps else 0)
        first = len(taps)
        taps.extend((r * rows.at_tap * a[1] * c, ((i.tap + r * rows.tap) * window.kernel[1] + j.tap) * c, j.taps) for r in meet)
        from_a, to_y = (i.at * a[1] + j.at) * c, (i.place * y[1] + j.place) * c
        lines = rows.at * a[1] * c, rows.place * y[1] * c
        return Rectangle(
            i.places * j.places, j.places, from_a, lines[0], columns.at * c, to_y, lines[1], columns.place * c, first, len(taps)
        )

    rectangles = [[rectangle(i, j) for j in columns.runs] for i in rows.runs]
    steps = Steps(prod(a) * c, 0, prod(y) * c, 0, columns.at_tap * c, columns.tap * c, c)
    return _plan(rectangles, taps, steps, window, size, dtype)


@lru_cache(maxsize=256)
def gradient(window: Window, size: Pair, c: int, dtype: np.dtype) -> Plan:
    """For the partial sums of dw, one for each job; A is x, of `size`, B is dy."""
    rows, columns = axis(size[0], window, 0, False, ROWS), axis(size[1], window, 1, False, size[1])
    y, s = window.out(*size), window.kernel[1]
    taps: list[tuple[int, int, int]] = []

    def rectangle(i: Run, j: Run) -> Rectangle:
        first = len(taps)
        taps.extend((p * rows.at * size[1] * c, ((i.place + p) * y[1] + j.place) * c, j.places) for p in range(i.places))
        from_x, to_w = (i.at * size[1] + j.at) * c, (i.tap * s + j.tap) * c
        lines = rows.at_tap * size[1] * c, s * c
        return Rectangle(i.taps * j.taps, j.taps, from_x, lines[0], columns.at_tap * c, to_w, lines[1], c, first, len(taps))

    rectangles = [[rectangle(i, j) for j in columns.runs] for i in rows.runs]
    piece = prod(window.kernel) * c
    steps = Steps(prod(size) * c, prod(y) * c, len(rectangles) * piece, piece, columns.at * c, c, c)
    return _plan(rectangles, taps, steps, window, size, dtype)


def _plan(rectangles: list, taps: list, steps: Steps, window: Window, size: Pair, dtype: np.dtype) -> Plan:
    fields = np.dtype([(name, np.int64) for name in Rectangle._fields])
    bytes = np.array(taps, np.int64).reshape(-1, 3) * (dtype.itemsize, dtype.itemsize, 1)
    flops = 2 * prod(window.kernel) * prod(window.out(*size)) * steps.channels
    return Plan(np.array(rectangles, fields), bytes, steps, flops)


def _compute(plan: Plan, a: Any, b: Any, c: Any, pool: Any, bias: Any, activation: str | None, add: bool = False) -> None:
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
        plan.rectangles,
        plan.taps,
        plan.steps,
        empty(pool, (len(a) * len(plan.rectangles), 2, TILES * MR), np.int64),
        int(add),
        a.dtype.type(0) if activation == "relu" else everything,
        work=len(a) * plan.flops,
    )


@kernel
def _products(a, b, c, bias, rectangles, taps, s, table, accumulate, floor):
    size, lanes = a.itemsize, ROW_BYTES // a.itemsize
    for index in prange(table.shape[0]):
        job = np.int64(index)
        n, piece = divmod(job, rectangles.shape[0])
        from_a, from_b = a.ctypes.data + n * s.a_sample * size, b.ctypes.data + n * s.b_sample * size
        to_c = c.ctypes.data + (n * s.c_sample + piece * s.c_piece) * size
        for j in range(rectangles.shape[1]):
            p = rectangles[piece, j]
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
