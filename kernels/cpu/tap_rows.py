"""The gradient by the weights with (r,s,c) as the rows of tiles and output channels in their vectors: few input channels.

Vectors of three channels would be empty. As rows they cost nothing: a row of a tile is any place in memory, so (r, s, c)
is a distance in a padded copy of the few rows of x that a block of pixels meets, and the sum has one run for each row of
pixels. The gradient comes out turned, but it is small: each job adds up its own, and the last step turns them.

    job: for block of pixels:    x -> [image][row][column][c], zeros around        dy -> panels [k/16][pixel][16]
             for panel:              for tile:  part[r,s,c][k] += sum_pixels x[pixel + (r,s,c)] * dy[pixel][k]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from ...core.shape import Shape, Window, prod
from .brgemm import addresses, forms
from .compile import kernel
from .filter_rows import copy_panels
from .scratch import empty
from .simd import MR, ROW_BYTES, SHORT, VECTORS, WIDTH, lanes
from .threads import threads
from .tile import tiles
from .weight_plan import JOBS, TERMS, blocked, cut, odd, record, rectangles

GRAIN = 4 * TERMS  # terms of a sum that is cut no further


class Size(NamedTuple):
    """Of x, of dy, of a filter; c, k: channels of a group.   rows, columns: of x in a block.   panel: their distance."""

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
    panel: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A gradient without its arrays. size: one Size.   pieces: (., 4) rectangles.   blocks: (., 3): piece, first and last
    of pairs.   pairs: (., 2): images of x and of dy that meet.   bounds: (T, chunks + 1): of the blocks of a sum."""

    size: np.ndarray
    pieces: np.ndarray
    blocks: np.ndarray
    pairs: np.ndarray
    bounds: np.ndarray
    rooms: tuple[int, int, int]  # of panels, of x, of runs
    flops: int


@lru_cache(maxsize=256)
def plan(dtype: np.dtype, x: Shape, dy: Shape, window: Window, groups: int) -> Plan:
    """For x (N, D, H, W, C) and dy (N, O, P, Q, K)."""
    (_, _, h, w, channels), (_, _, p, q, filters) = x, dy
    c, k = channels // groups, filters // groups
    pieces = rectangles(p, q)
    pairs, blocks, planes = blocked(window, x, dy, len(pieces))
    high, wide = max(b - a for a, b, _, _ in pieces), max(b - a for _, _, a, b in pieces)
    rows, columns = (
        window.stride[i] * (outs - 1) + window.dilation[i] * (window.kernel[i] - 1) + 1
        for i, outs in ((1, high), (2, wide))
    )
    images = int((blocks[:, 2] - blocks[:, 1]).max())
    panel = odd(images * high * wide * lanes(dtype), lanes(dtype))
    geometry = *window.stride[1:], window.padding[1][0], window.padding[2][0], *window.dilation[1:]
    sizes = h, w, channels, p, q, filters, *window.kernel, c, k
    size = Size._make((*sizes, *geometry, rows, columns, panel))
    chunks = max(1, min(-(-JOBS // (groups * window.kernel[0])), len(pairs) // window.kernel[0] * p * q // GRAIN))
    bounds = [[first, *(first + b for _, b in cut(last - first, chunks))] for first, last in planes]
    rooms = -(-k // lanes(dtype)) * panel, images * rows * columns * c, images * high
    arrays = np.array(pieces, np.int64), blocks, pairs, np.array(bounds, np.int64)
    return Plan(record(size), *arrays, rooms, 2 * prod(dy) * prod(window.kernel) * c)


def compute(plan: Plan, x: Any, dy: Any, dw: Any, accumulate: bool, pool: Any) -> None:
    """dw (K, T, R, S, C/G) of a Plan's x and dy; accumulate: added to it."""
    nr, t, chunks = lanes(dw.dtype), dw.shape[1], plan.bounds.shape[1] - 1
    rows, parts = prod(dw.shape[2:]), x.shape[4] // dw.shape[4] * t
    panels, image, runs = plan.rooms
    workers = min(threads(), chunks * parts)
    _compute(
        x.reshape(-1),
        dy.reshape(-1),
        dw.reshape(-1),
        empty(pool, (chunks, parts, rows, panels // int(plan.size["panel"][0]) * nr), dw.dtype),
        empty(pool, (workers, 2 * nr + panels + image), dw.dtype),
        empty(pool, (workers, 2 * (rows + 2 * MR) + 3 * runs), np.int64),
        plan.size,
        plan.pieces,
        plan.blocks,
        plan.pairs,
        plan.bounds,
        accumulate,
        work=plan.flops,
    )


@kernel
def _compute(x, dy, dw, partial, scratch, tables, size, pieces, blocks, pairs, bounds, accumulate):
    for index in prange(scratch.shape[0]):  # scratch belongs to a thread; which jobs it runs cannot be seen
        worker, s = np.int64(index), size[0]
        itemsize, lanes, rows = x.itemsize, ROW_BYTES // x.itemsize, partial.shape[2]
        panels = partial.shape[3] // lanes
        tall, short = forms(rows)
        zeros, ones = scratch[worker, :lanes], scratch[worker, lanes : 2 * lanes]
        a = scratch[worker, 2 * lanes + panels * s.panel :]
        b = scratch[worker, 2 * lanes : 2 * lanes + panels * s.panel]
        zeros[:], ones[:] = 0, 1
        from_a, from_c = tables[worker, : rows + 2 * MR], tables[worker, rows + 2 * MR : 2 * (rows + 2 * MR)]
        taps, line = tables[worker, 2 * (rows + 2 * MR) :].reshape(-1, 3), s.columns * s.c
        d0, d1 = s.dilation_down * line, s.dilation_across * s.c
        addresses(from_a, 0, rows, a.ctypes.data, s.s, s.c, d0, d1, 1, itemsize)
        for job in range(worker, partial.shape[0] * partial.shape[1], scratch.shape[0]):
            chunk, part = divmod(job, partial.shape[1])
            group, t = divmod(part, s.t)
            addresses(from_c, 0, rows, partial[chunk, part].ctypes.data, 1, rows, 0, 0, panels * lanes, itemsize)
            for block in range(bounds[t, chunk], bounds[t, chunk + 1]):
                piece = pieces[blocks[block, 0]]
                p0, p1, q0, width, count = piece[0], piece[1], piece[2], piece[3] - piece[2], 0
                for image in range(blocks[block, 1], blocks[block, 2]):
                    at = (image - blocks[block, 1]) * s.rows * line
                    _copy_image(x, pairs[image, 0], s.down * p0 - s.top, s.across * q0 - s.left, group * s.c, a[at:], s)
                    for p in range(p0, p1):
                        here = ((pairs[image, 1] * s.p + p) * s.q + q0) * s.filters + group * s.k
                        copy_panels(dy, here, s.filters, s.k, b, count * width * lanes, s.panel, width)
                        taps[count, 0] = (at + s.down * (p - p0) * line) * itemsize
                        taps[count, 1], taps[count, 2] = count * width * ROW_BYTES, width
                        count += 1
                for panel in range(panels):
                    tiles(
                        from_a.ctypes.data,
                        from_c.ctypes.data,
                        rows,
                        tall,
                        short,
                        panel * ROW_BYTES,
                        1,
                        taps.ctypes.data,
                        count,
                        s.across * s.c * itemsize,
                        b.ctypes.data + panel * s.panel * itemsize,
                        ROW_BYTES,
                        0,
                        ones.ctypes.data,
                        zeros.ctypes.data,
                        1 if block > bounds[t, chunk] else 0,
                        0,
                        0,
                        x.dtype.type(1),
                        x.dtype.type(-np.inf),
                        MR,
                        SHORT,
                        VECTORS,
                        WIDTH,
                    )
    for index in prange(size[0].filters):
        group, k = divmod(np.int64(index), size[0].k)
        terms = size[0].t * partial.shape[2]
        _turn(
            partial[:, group * size[0].t :, :, k],
            dw[np.int64(index) * terms : (np.int64(index) + 1) * terms],
            accumulate,
        )


@njit
def _copy_image(x, image, row, column, first, dst, s):
    """A rectangle of x, s.rows x s.columns pixels from (row, column) on, c channels from `first` on; outside are zeros."""
    line = s.columns * s.c
    low = min(s.columns, max(0, -column))
    high = max(low, min(s.columns, s.width - column))
    for i in range(s.rows):
        to = dst[i * line : (i + 1) * line]
        if not 0 <= row + i < s.height:
            to[:] = 0
            continue
        to[: low * s.c], to[high * s.c :] = 0, 0
        here = ((image * s.height + row + i) * s.width + column + low) * s.channels + first
        if s.c == s.channels:
            _copy_line(x[here : here + (high - low) * s.c], to[low * s.c : high * s.c])
        else:
            for w in range(high - low):
                _copy_line(
                    x[here + w * s.channels : here + w * s.channels + s.c], to[(low + w) * s.c : (low + w + 1) * s.c]
                )


@njit
def _copy_line(src, dst):
    for v in range(dst.size):
        dst[v] = src[v]


@njit
def _turn(partial, dw, accumulate):
    """dw[t*rows + row] (+)= sum over chunks of partial[chunk][t][row]"""
    for t in range(dw.size // partial.shape[2]):
        for row in range(partial.shape[2]):
            total = partial[0, t, row]
            for chunk in range(1, partial.shape[0]):
                total += partial[chunk, t, row]
            i = t * partial.shape[2] + row
            dw[i] = dw[i] + total if accumulate else total
