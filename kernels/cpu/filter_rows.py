"""The gradient by the weights with output channels as the rows of tiles and input channels in their vectors.

dw is then written as it lies. dy and x are copied into panels of 16 channels, a block of some 200 pixels at a time, by the
job that multiplies them: where they lie, a tile would use 24 or 64 bytes of each pixel, and its lines would fall on few
sets of the cache. For one column s of the filter the copies hold the pixels that it meets and no other, row by row, all
images of a row together; so the pixels of a tap (r, s) are one run of the sum, with no zeros in it, whatever stride and
dilation are, and no image is padded.

    job: for block of pixels:    dy -> panels [k/16][row][image][column][16]                              in L2
             for panel of x:     x -> panels [c/16][row][image][column][16], 8 at once                    in L1
                 for r:              for tile:  dw[k][r,s,c] += sum_pixels dy[pixel][k] * x[pixel + r][c]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, prange

from .brgemm import addresses, forms
from .compile import kernel
from .registers import copy_vectors, stack
from .scratch import empty
from .simd import MR, ROW_BYTES, SHORT, VECTORS, WIDTH
from .threads import threads
from .tile import tiles
from .weight_plan import PANELS, ROWS, Plan

TABLE = ROWS + 2 * MR  # rows of a job, and those that fill up a tile
TABLES, TAP, LINES, EDGE = 3 * 8 * TABLE, 3 * 8, 2 * ROW_BYTES, TABLE * ROW_BYTES  # bytes


def compute(plan: Plan, x: Any, dy: Any, dw: Any, accumulate: bool, pool: Any) -> None:
    """dw (K, T, R, S, C/G) of a Plan's x and dy; accumulate: added to it."""
    room = int(plan.size["a_room"][0] + plan.size["b_room"][0])
    _compute(
        x.reshape(-1),
        dy.reshape(-1),
        dw.reshape(-1),
        empty(pool, (plan.chunks - 1, dw.size), dw.dtype),
        empty(pool, (min(threads(), plan.jobs.size), room), dw.dtype),
        plan.size,
        plan.jobs,
        plan.blocks,
        plan.pieces,
        plan.rows,
        plan.runs,
        plan.columns,
        plan.pairs,
        accumulate,
        work=plan.flops,
    )


@kernel
def _compute(x, dy, dw, partial, scratch, size, jobs, blocks, pieces, rows, runs, columns, pairs, accumulate):
    for index in prange(scratch.shape[0]):  # scratch belongs to a thread; which jobs it runs cannot be seen
        worker, s = np.int64(index), size[0]
        itemsize, lanes, one = x.itemsize, ROW_BYTES // x.itemsize, x.dtype.type(1)
        a, b = scratch[worker, : s.a_room], scratch[worker, s.a_room :]
        table = carray(stack(1, TABLES), (3, TABLE))  # addresses of the rows of a, of c, and of an edge
        tap, line = carray(stack(1, TAP), 3), carray(stack(one, LINES), (2, lanes))
        edge = carray(stack(one, EDGE), (TABLE, lanes))
        line[0], line[1] = 0, 1
        for number in range(worker, jobs.size, scratch.shape[0]):
            job = jobs[number]
            c = dw if job.chunk == 0 else partial[job.chunk - 1]
            tall, short = forms(job.rows)
            from_c = c.ctypes.data + job.filter * s.terms * itemsize
            addresses(table[0], 0, job.rows, a.ctypes.data, TABLE, lanes, 0, s.a_panel, 1, itemsize)
            addresses(table[1], 0, job.rows, from_c, 1, job.rows, 0, 0, s.terms, itemsize)
            addresses(table[2], 0, job.rows, edge.ctypes.data, 1, job.rows, 0, 0, lanes, itemsize)
            for block in range(job.first, job.last):
                p, images = pieces[blocks[block, 0]], pairs[blocks[block, 1] : blocks[block, 2]]
                q = max(p.q0, columns[job.tap, 1])
                width = max(0, min(p.q1, columns[job.tap, 2]) - q)
                terms = images.shape[0] * width  # of a row of the piece
                add = (accumulate and job.chunk == 0) or block > job.first
                _copy(
                    dy,
                    images[:, 1],
                    rows[p.p0 : p.p1],
                    s.p,
                    s.q,
                    q,
                    1,
                    width,
                    s.filters,
                    job.filter,
                    job.rows,
                    a,
                    s.a_panel,
                )
                for panel in range(job.first_panel, job.last_panel):
                    at, valid = (panel - job.first_panel) % PANELS, min(lanes, s.c - panel * lanes)
                    if at == 0:
                        channels = min(s.c, lanes * min(panel + PANELS, job.last_panel)) - panel * lanes
                        here, column = job.channel + panel * lanes, q * s.step + columns[job.tap, 0]
                        inside = rows[p.first : p.last]
                        _copy(
                            x,
                            images[:, 0],
                            inside,
                            s.height,
                            s.width,
                            column,
                            s.step,
                            width,
                            s.channels,
                            here,
                            channels,
                            b,
                            s.b_panel,
                        )
                    for r in range(s.r):
                        run = runs[blocks[block, 0], r]
                        tap[0], tap[1], tap[2] = run[0] * terms * ROW_BYTES, run[1] * terms * ROW_BYTES, run[2] * terms
                        to = job.column + r * s.s * s.c + panel * lanes
                        whole = valid == lanes
                        tiles(
                            table[0].ctypes.data,
                            table[1 if whole else 2].ctypes.data,
                            job.rows,
                            tall,
                            short,
                            to * itemsize if whole else 0,
                            1,
                            tap.ctypes.data,
                            1 if tap[2] else 0,
                            ROW_BYTES,
                            b.ctypes.data + at * s.b_panel * itemsize,
                            ROW_BYTES,
                            0,
                            line[1].ctypes.data,
                            line[0].ctypes.data,
                            1 if add and whole else 0,
                            0,
                            0,
                            one,
                            x.dtype.type(-np.inf),
                            MR,
                            SHORT,
                            VECTORS,
                            WIDTH,
                        )
                        if not whole:
                            _put(edge, c, job.filter * s.terms + to, s.terms, job.rows, valid, add)
    for index in prange(size[0].filters if partial.shape[0] else 0):
        terms = size[0].terms
        total = dw[np.int64(index) * terms : (np.int64(index) + 1) * terms]
        for chunk in range(partial.shape[0]):
            more = partial[chunk, np.int64(index) * terms : (np.int64(index) + 1) * terms]
            for i in range(terms):
                total[i] += more[i]


@njit
def _copy(src, images, rows, high, wide, column, step, width, channels, first, count, dst, panel):
    """`count` channels of a block's pixels, from `first` on, in panels [row][image][column][NR]."""
    at = 0
    for row in rows:
        for image in images:
            here = ((image * high + row) * wide + column) * channels + first
            copy_panels(src, here, step * channels, count, dst, at, panel, width)
            at += width * (ROW_BYTES // src.itemsize)


@njit
def copy_panels(src, here, step, columns, dst, at, panel, terms):
    """dst[at + p*panel + t*NR + v] = src[here + t*step + p*NR + v]; columns that do not exist are zeros."""
    lanes = ROW_BYTES // src.itemsize
    whole = columns // lanes
    for t in range(terms):
        i, j = here + t * step, at + t * lanes
        copy_vectors(src, i, lanes, dst, j, panel, whole, VECTORS, WIDTH)
        if whole * lanes < columns:
            for v in range(lanes):
                dst[j + whole * panel + v] = src[i + whole * lanes + v] if whole * lanes + v < columns else 0


@njit
def _put(edge, c, at, step, rows, valid, add):
    """c[at + row*step + v] (+)= edge[row][v]"""
    for row in range(rows):
        for v in range(valid):
            i = at + row * step + v
            c[i] = c[i] + edge[row, v] if add else edge[row, v]
