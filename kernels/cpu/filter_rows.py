"""The gradient by the weights with output channels as the rows of tiles and input channels in their vectors.

dw is then written as it lies, and the places of a tile's factors follow each other in memory: dy is copied into tiles of
rows, x into panels of channels, for a block of some 256 terms at a time, by the job that multiplies them. For one column
s of the filter the copies hold the pixels that it meets and no other, row by row, all images of a row together; so the
pixels of a tap (r, s) are one run of the sum, without a tap's change or a zero in it, whatever stride and dilation are.

    job: for block of pixels:   dy -> tiles [k/6][pixel][6]                                             in L2
             for 8 panels:      x -> panels [c/16][row][image][column][16]                              in L2
                 for r:             for tile:  dw[k][r,s,c] += sum_pixels dy[pixel][k] * x[pixel + r][c]    panel in L1
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from .brgemm import addresses, forms
from .compile import kernel
from .registers import _address, copy_vectors
from .scratch import empty
from .simd import MR, ROW_BYTES, SCALARS, SHORT, VECTORS, WIDTH, Vectors, lanes
from .threads import threads
from .tile import tiles
from .weight_plan import PANELS, Plan


def compute(plan: Plan, x: Any, dy: Any, dw: Any, accumulate: bool, pool: Any) -> None:
    """dw (K, T, R, S, C/G) of a Plan's x and dy; accumulate: added to it."""
    size, dtype = plan.size[0], dw.dtype
    table = int(size["k_rows"]) + 2 * MR
    room = int(size["a_room"] + size["b_room"]) + (2 + table) * lanes(dtype)
    workers = min(threads(), int(size["jobs"]))
    _compute(
        x.reshape(-1),
        dy.reshape(-1),
        dw.reshape(-1),
        empty(pool, (int(size["chunks"]) - 1, dw.size), dtype),
        empty(pool, (workers, room), dtype),
        empty(pool, (workers, 3 * table + 3 * int(size["r"])), np.int64),
        plan.size,
        plan.pieces,
        plan.rows,
        plan.runs,
        plan.columns,
        plan.pairs,
        plan.planes,
        accumulate,
        work=plan.flops,
    )


@kernel
def _compute(x, dy, dw, partial, scratch, tables, size, pieces, rows, runs, columns, pairs, planes, accumulate):
    chunks, filters = partial.shape[0] + 1, size[0].filters
    for index in prange(scratch.shape[0]):
        worker, s = np.int64(index), size[0]
        for job in range(worker, s.jobs, scratch.shape[0]):
            chunk, part = divmod(job, s.jobs // chunks)
            c, add = (dw, accumulate) if chunk == 0 else (partial[chunk - 1], False)
            _job(
                part,
                chunk,
                x,
                dy,
                c,
                scratch[worker],
                tables[worker],
                s,
                pieces,
                rows,
                runs,
                columns,
                pairs,
                planes,
                add,
            )
    for index in prange(filters if chunks > 1 else 0):
        first = np.int64(index) * (dw.size // filters)
        for chunk in range(chunks - 1):
            for i in range(first, first + dw.size // filters):
                dw[i] += partial[chunk, i]


@njit
def _job(part, chunk, x, dy, c, scratch, table, s, pieces, rows, runs, columns, pairs, planes, add):
    """One part of the gradient from one chunk of the sum."""
    part, c_block = divmod(part, s.c_blocks)
    part, k_block = divmod(part, s.k_blocks)
    part, tap = divmod(part, s.s)
    group, t = divmod(part, s.t)
    k = k_block * s.k_rows
    height = min(s.k_rows, s.k - k)
    filters = group * s.k + k
    at = (table.size - 3 * s.r) // 3
    _addresses(table, at, height, scratch, c, filters, s)
    for v in range(_lanes(c)):
        scratch[s.a_room + s.b_room + v], scratch[s.a_room + s.b_room + _lanes(c) + v] = 0, 1
    blocks = -(-(planes[t + 1] - planes[t]) // s.images) * pieces.size
    first = blocks * chunk // s.chunks
    last = blocks * (chunk + 1) // s.chunks
    for block in range(first, max(last, first + 1)):  # where nothing meets, zeros are written
        batch, piece = divmod(block, pieces.size)
        p = pieces[piece]
        i = planes[t] + batch * s.images
        images = pairs[i : min(i + s.images, planes[t + 1]) if block < last else i]
        q0, q1 = max(p.q0, columns[tap, 1]), min(p.q1, columns[tap, 2])
        width = max(0, q1 - q0)
        _runs(table[3 * at :], runs[piece], images.shape[0] * width, x.itemsize)
        _copy_filters(dy, scratch, images, p, q0, width, filters, height, s)
        adds = add or block > first
        for panel in range(c_block * s.c_panels, min((c_block + 1) * s.c_panels, -(-s.c // _lanes(x))), PANELS):
            channels = min(s.c, min(panel + PANELS, (c_block + 1) * s.c_panels) * _lanes(x)) - panel * _lanes(x)
            from_x = group * s.c + panel * _lanes(x)
            _copy_channels(
                x, scratch, images, rows[p.first : p.last], q0 * s.step + columns[tap, 0], width, from_x, channels, s
            )
            for first_channel in range(0, channels, _lanes(x)):
                to = (t * s.r * s.s + tap) * s.c + panel * _lanes(x) + first_channel
                valid = min(_lanes(x), channels - first_channel)
                b = s.a_room + first_channel // _lanes(x) * s.panel
                _multiply(c, scratch, b, table, at, height, to, valid, filters, s, adds)


@njit
def _lanes(x):
    return ROW_BYTES // x.itemsize


@njit
def _addresses(table, at, height, scratch, c, filters, s):
    """Three tables of `at` rows: the copied rows of dy, the rows of c from output channel `filters` on, and of an edge."""
    size, terms = c.itemsize, s.t * s.r * s.s * s.c
    tall, short = forms(height)
    for tile in range(tall + short):
        mr, row = (MR, tile * MR) if tile < tall else (SHORT, tall * MR + (tile - tall) * SHORT)
        for i in range(mr):
            table[row + i] = scratch.ctypes.data + (tile * s.tile + i) * size
    from_c, edge = (
        c.ctypes.data + filters * terms * size,
        scratch.ctypes.data + (s.a_room + s.b_room) * size + 2 * ROW_BYTES,
    )
    addresses(table[at : 2 * at], 0, height, from_c, 1, height, 0, 0, terms, size)
    addresses(table[2 * at : 3 * at], 0, height, edge, 1, height, 0, 0, ROW_BYTES, 1)


@njit
def _runs(taps, runs, line, size):
    """The tile's taps, one for each r: a run starts and ends with a row of a piece, which has `line` pixels."""
    for r in range(runs.shape[0]):
        taps[3 * r] = runs[r, 0] * line * MR * size
        taps[3 * r + 1] = runs[r, 1] * line * ROW_BYTES
        taps[3 * r + 2] = runs[r, 2] * line


@njit
def _copy_filters(dy, scratch, images, p, q, width, filters, height, s):
    """Tiles of rows: [tile][row of the piece][image][column][MR or SHORT output channels]."""
    tall, short = forms(height)
    for row in range(p.p1 - p.p0):
        for i in range(images.shape[0]):
            at = (row * images.shape[0] + i) * width * MR
            here = ((images[i, 1] * s.p + p.p0 + row) * s.q + q) * s.filters + filters
            for _ in range(width):
                _copy_tiles(dy, here, scratch, at, s.tile, tall, short, height)
                here, at = here + s.filters, at + MR


@njit
def _copy_tiles(src, i, dst, j, step, tall, short, height):
    """The numbers of one pixel, MR for each tall tile and SHORT for each short one; `height` in all."""
    for _ in range(tall):
        copy(src, i, dst, j, MR)
        i, j = i + MR, j + step
    left = height - tall * MR
    while left >= SHORT:
        copy(src, i, dst, j, SHORT)
        i, j, left = i + SHORT, j + step, left - SHORT
    for v in range(left):
        dst[j + v] = src[i + v]


@njit
def _copy_channels(x, scratch, images, rows, column, width, first, channels, s):
    """Panels: [panel][row of x][image][column][channel]; those that do not exist are zeros."""
    lanes = _lanes(x)
    for row in range(rows.size):
        for i in range(images.shape[0]):
            at = s.a_room + (row * images.shape[0] + i) * width * lanes
            here = ((images[i, 0] * s.height + rows[row]) * s.width + column) * s.channels + first
            for _ in range(width):
                copy_vectors(x, here, lanes, scratch, at, s.panel, channels // lanes, VECTORS, WIDTH)
                ragged = channels // lanes * lanes
                if ragged < channels:
                    edge = at + channels // lanes * s.panel
                    for v in range(lanes):
                        scratch[edge + v] = x[here + ragged + v] if ragged + v < channels else 0
                here, at = here + s.step * s.channels, at + lanes


@njit
def _multiply(c, scratch, b, table, at, height, to, valid, filters, s, adds):
    """All rows of one panel of c, for each r."""
    zero, one, size = c.dtype.type(0), c.dtype.type(1), c.itemsize
    tall, short = forms(height)
    whole, bias = valid == _lanes(c), scratch.ctypes.data + (s.a_room + s.b_room) * size
    for r in range(s.r):
        tap = table[3 * at + 3 * r :]
        count = 1 if tap[2] > 0 else 0
        if count or not adds:
            column = to + r * s.s * s.c
            tiles(
                table.ctypes.data,
                table[at if whole else 2 * at :].ctypes.data,
                column * size if whole else 0,
                height,
                tall,
                short,
                tap.ctypes.data,
                count,
                MR * size,
                scratch.ctypes.data + b * size,
                ROW_BYTES,
                bias + ROW_BYTES,
                bias,
                1 if adds and whole else 0,
                0,
                one,
                c.dtype.type(-np.inf),
                MR,
                SHORT,
                VECTORS,
                WIDTH,
            )
            if not whole:
                for row in range(height):
                    i, j = (filters + row) * s.t * s.r * s.s * s.c + column, s.a_room + s.b_room + (2 + row) * _lanes(c)
                    for v in range(valid):
                        c[i + v] = (c[i + v] if adds else zero) + scratch[j + v]


@intrinsic(prefer_literal=True)
def copy(typing: Any, src: Any, i: Any, dst: Any, j: Any, count: Any) -> Any:
    """dst[j + l] = src[i + l] for l < count, a literal: as few instructions as move so many numbers."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, src.dtype, WIDTH)
        numbers = ir.VectorType(SCALARS[src.dtype], count.literal_value)
        here, there = (e.pointer(_address(context, e, src, *args[k : k + 2])) for k in (0, 2))
        builder.store(builder.load(here, align=e.size, typ=numbers), there, align=e.size)
        return context.get_dummy_value()

    return types.void(src, types.int64, dst, types.int64, count), emit
