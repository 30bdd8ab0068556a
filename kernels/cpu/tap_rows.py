"""The gradient by the weights with (r,s,c) as the rows of tiles and output channels in their vectors: few input channels.

A panel of three channels would be vectors of zeros. As rows they cost nothing: a row of a tile is any place in memory,
and so (r, s, c) is a distance in a padded copy of the few rows of x that a block of pixels meets. The sum is made of one
run for each row of pixels; it lies turned, and it is small: every job adds up its own, and the last step turns them.

    job: for block of pixels:   x -> [image][row][column][c], zeros around        dy -> panels [k/16][pixel][16]
             for panel:             for tile:  part[r,s,c][k] += sum_pixels x[pixel + (r,s,c)] * dy[pixel][k]
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from ...core.shape import Shape, Window, prod
from .brgemm import addresses, forms
from .compile import kernel
from .registers import copy_vectors
from .scratch import empty
from .simd import MR, ROW_BYTES, SHORT, VECTORS, WIDTH, lanes
from .threads import threads
from .tile import tiles
from .weight_plan import JOBS, TERMS, paired, record, rectangles

GRAIN = 4 * TERMS  # terms of a chunk of the sum that is cut no further


class Size(NamedTuple):
    """All numbers of a plan. c, k: channels of a group.   rows, columns: of x in a block.   images: of a block."""

    height: int
    width: int
    channels: int
    p: int
    q: int
    filters: int
    t: int
    r: int
    s: int
    c: int
    k: int
    down: int
    across: int
    top: int
    left: int
    dilation_down: int
    dilation_across: int
    rows: int
    columns: int
    images: int
    chunks: int
    panel: int
    taps: int


class Plan(NamedTuple):
    """A gradient without its arrays. size: one Size.   pieces: (., 4) rectangles.   pairs, planes: images that meet."""

    size: np.ndarray
    pieces: np.ndarray
    pairs: np.ndarray
    planes: np.ndarray
    flops: int


@lru_cache(maxsize=256)
def plan(dtype: np.dtype, x: Shape, dy: Shape, window: Window, groups: int) -> Plan:
    """For x (N, D, H, W, C) and dy (N, O, P, Q, K)."""
    (n, depth, h, w, channels), (_, outs, p, q, filters) = x, dy
    pieces = rectangles(p, q)
    pairs, planes = paired(window, n, depth, outs)
    most = max(1, int(np.diff(planes).max()))
    images = -(-most // -(-most // max(1, TERMS // (p * q))))
    high, wide = max(b - a for a, b, _, _ in pieces), max(b - a for _, _, a, b in pieces)
    spans = [
        stride * (outs - 1) + dilation * (taps - 1) + 1
        for stride, dilation, taps, outs in zip(
            window.stride[1:], window.dilation[1:], window.kernel[1:], (high, wide), strict=True
        )
    ]
    size = Size(
        h,
        w,
        channels,
        p,
        q,
        filters,
        *window.kernel,
        channels // groups,
        filters // groups,
        *window.stride[1:],
        window.padding[1][0],
        window.padding[2][0],
        *window.dilation[1:],
        *spans,
        images,
        max(1, min(-(-JOBS // (groups * window.kernel[0])), most * p * q // GRAIN)),
        (images * high * wide | 1) * lanes(dtype),
        images * high,
    )
    return Plan(
        record(size), np.array(pieces, np.int64), pairs, planes, 2 * prod(dy) * prod(window.kernel) * channels // groups
    )


def compute(plan: Plan, x: Any, dy: Any, dw: Any, accumulate: bool, pool: Any) -> None:
    """dw (K, T, R, S, C/G) of a Plan's x and dy; accumulate: added to it."""
    s, dtype = plan.size[0], dw.dtype
    nr, rows, panels = lanes(dtype), int(s["r"] * s["s"] * s["c"]), -(-int(s["k"]) // lanes(dtype))
    groups, chunks = int(s["filters"] // s["k"]), int(s["chunks"])
    room = panels * int(s["panel"]) + int(s["images"] * s["rows"] * s["columns"] * s["c"])
    jobs = chunks * groups * int(s["t"])
    workers = min(threads(), jobs)
    _compute(
        x.reshape(-1),
        dy.reshape(-1),
        dw.reshape(-1),
        empty(pool, (chunks, groups * int(s["t"]), rows, panels * nr), dtype),
        empty(pool, (workers, 2 * nr + room), dtype),
        empty(pool, (workers, 2 * (rows + 2 * MR) + 3 * int(s["taps"])), np.int64),
        plan.size,
        plan.pieces,
        plan.pairs,
        plan.planes,
        accumulate,
        work=plan.flops,
    )


@kernel
def _compute(x, dy, dw, partial, scratch, tables, size, pieces, pairs, planes, accumulate):
    filters = size[0].filters
    for index in prange(scratch.shape[0]):
        worker, s = np.int64(index), size[0]
        for job in range(worker, partial.shape[0] * partial.shape[1], scratch.shape[0]):
            chunk, part = divmod(job, partial.shape[1])
            _job(part, chunk, x, dy, partial[chunk, part], scratch[worker], tables[worker], s, pieces, pairs, planes)
    for index in prange(filters):
        k, s = np.int64(index), size[0]
        _add(
            partial, k // s.k * s.t, k % s.k, dw[k * (dw.size // filters) : (k + 1) * (dw.size // filters)], accumulate
        )


@njit
def _job(part, chunk, x, dy, c, scratch, table, s, pieces, pairs, planes):
    """One part of the gradient, turned, from one chunk of the sum."""
    group, t = divmod(part, s.t)
    size, lanes, rows = x.itemsize, ROW_BYTES // x.itemsize, c.shape[0]
    panels = c.shape[1] // lanes
    image = 2 * lanes + panels * s.panel
    at = rows + 2 * MR
    line = s.columns * s.c
    from_x = scratch.ctypes.data + image * size
    d0, d1 = s.dilation_down * line, s.dilation_across * s.c
    addresses(table[:at], 0, rows, from_x, s.s, s.c, d0, d1, 1, size)
    addresses(table[at : 2 * at], 0, rows, c.ctypes.data, 1, rows, 0, 0, c.shape[1], size)
    for v in range(lanes):
        scratch[v], scratch[lanes + v] = 0, 1
    tall, short = forms(rows)
    blocks = -(-(planes[t + 1] - planes[t]) // s.images) * pieces.shape[0]
    first, last = blocks * chunk // s.chunks, blocks * (chunk + 1) // s.chunks
    for block in range(first, max(last, first + 1)):  # where nothing meets, zeros are written
        batch, piece = divmod(block, pieces.shape[0])
        p0, p1, q0, q1 = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], pieces[piece, 3]
        i = planes[t] + batch * s.images
        images = pairs[i : min(i + s.images, planes[t + 1]) if block < last else i]
        taps = 0
        for i in range(images.shape[0]):
            to = image + i * s.rows * line
            first_row, first_column = s.down * p0 - s.top, s.across * q0 - s.left
            _copy_image(x, images[i, 0], first_row, first_column, group * s.c, scratch, to, s)
            for p in range(p0, p1):
                tap = 2 * at + 3 * taps
                table[tap] = (i * s.rows + s.down * (p - p0)) * line * size
                table[tap + 1] = taps * (q1 - q0) * ROW_BYTES
                table[tap + 2] = q1 - q0
                here = ((images[i, 1] * s.p + p) * s.q + q0) * s.filters + group * s.k
                _copy_panels(dy, here, s.filters, s.k, scratch, 2 * lanes + taps * (q1 - q0) * lanes, s.panel, q1 - q0)
                taps += 1
        for panel in range(panels):
            tiles(
                table.ctypes.data,
                table[at:].ctypes.data,
                panel * ROW_BYTES,
                rows,
                tall,
                short,
                table[2 * at :].ctypes.data,
                taps,
                s.across * s.c * size,
                scratch.ctypes.data + (2 * lanes + panel * s.panel) * size,
                ROW_BYTES,
                scratch.ctypes.data + ROW_BYTES,
                scratch.ctypes.data,
                1 if block > first else 0,
                0,
                x.dtype.type(1),
                x.dtype.type(-np.inf),
                MR,
                SHORT,
                VECTORS,
                WIDTH,
            )


@njit
def _copy_image(x, image, row, column, first, dst, at, s):
    """A rectangle of x from (row, column) on, c channels from `first` on; zeros where it is outside."""
    low, high = min(s.columns, max(0, -column)) * s.c, max(0, min(s.columns, s.width - column)) * s.c
    high = max(low, high)
    for h in range(row, row + s.rows):
        inside = 0 <= h < s.height
        stop, start = (low, high) if inside else (s.columns * s.c, s.columns * s.c)
        for v in range(stop):
            dst[at + v] = 0
        for v in range(start, s.columns * s.c):
            dst[at + v] = 0
        if inside:
            here = ((image * s.height + h) * s.width + column) * s.channels + first
            if s.c == s.channels:
                for v in range(low, high):
                    dst[at + v] = x[here + v]
            else:
                for w in range(low // s.c, high // s.c):
                    for v in range(s.c):
                        dst[at + w * s.c + v] = x[here + w * s.channels + v]
        at += s.columns * s.c


@njit
def _copy_panels(src, here, step, columns, dst, at, panel, terms):
    """dst[at + p*panel + t*lanes + v] = src[here + t*step + p*lanes + v]; columns that do not exist are zeros."""
    lanes = ROW_BYTES // src.itemsize
    whole = columns // lanes * lanes
    for first in range(0, whole, lanes):
        copy_vectors(src, here + first, step, dst, at + first // lanes * panel, lanes, terms, VECTORS, WIDTH)
    if whole < columns:
        for t in range(terms):
            for v in range(lanes):
                to = at + whole // lanes * panel + t * lanes + v
                dst[to] = src[here + t * step + whole + v] if whole + v < columns else 0


@njit
def _add(partial, part, k, dw, accumulate):
    """dw[(t,r,s,c)] (+)= sum over chunks of partial[chunk][part + t][(r,s,c)][k]"""
    rows = partial.shape[2]
    for i in range(dw.size):
        t, row = divmod(i, rows)
        total = partial[0, part + t, row, k]
        for chunk in range(1, partial.shape[0]):
            total += partial[chunk, part + t, row, k]
        dw[i] = dw[i] + total if accumulate else total
