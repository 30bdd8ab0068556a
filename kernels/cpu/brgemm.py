"""The driver of the tile: which rows, which panels, in which order.

    job = (group, part, some rows, 8 panels of B):
        for block of the sum:                 the panels' slices may be copied: 8 x 512 x NR numbers, in L2
            for tile of rows:                 6 x 512 numbers of A, in L1
                for panel of B

A slice that is copied by the job that reads it costs no second parallel region and is still in the cache when it is
read; one that many jobs read is better packed beforehand (panel.py). Scratch lies on the stack of the thread that runs
the job: it is warm, belongs to nobody else and is not handed in. Panels that are not whole are computed beside C and
their columns copied, since masked stores are slow.

After Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication" (10.1145/1356052.1356053).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, prange

from .compile import kernel, specialised
from .exponential import normal_distribution
from .panel import PIECE, copy_run, fill, turn
from .product import LINE, Product
from .registers import stack
from .simd import BLOCK, MR, PANELS, ROW_BYTES, SHORT, VECTORS, WIDTH
from .tile import tiles

NOTHING = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}

CHUNK = 96  # rows whose addresses are kept, and which are copied, at a time
TABLE = CHUNK + 2 * MR  # and rows that fill up a tile, and the tile after that
# Scratch of a job, in bytes: tables of addresses; blocks of A and B; C's last panel; zeros, bias and scale of all panels.
TABLES, EDGE, LINES = 4 * 8 * TABLE, TABLE * ROW_BYTES, 3 * PANELS * ROW_BYTES
A_SCRATCH, B_PANEL = TABLE * (BLOCK * 8 + 2 * LINE), BLOCK * ROW_BYTES
B_SCRATCH = PANELS * B_PANEL


def multiply(
    p: Product,
    a: Any,
    b: Any,
    c: Any,
    *,
    bias: Any = None,
    scale: Any = None,
    residual: Any = None,
    activation: str | None = None,
    accumulate: bool = False,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> None:
    """C = act( alpha * scale[g,j] * sum + beta * D + bias[g,j] ), where D is the residual, or C itself to accumulate.

    a, b, c: contiguous arrays of the product's dtype, of any shape.   residual: laid out as c.   scale, bias: (G*N,)
    activation: None, "relu" or "gelu".   Without residual and accumulate, there is no D.
    """
    kind, nothing = p.dtype.type, NOTHING[p.dtype]
    c = c.reshape(-1)
    (_multiply_gelu if activation == "gelu" else _multiply)(
        a.reshape(-1),
        b.reshape(-1),
        c,
        c if residual is None else residual.reshape(-1),
        nothing if bias is None else bias.reshape(-1),
        nothing if scale is None else scale.reshape(-1),
        p.parts,
        p.jobs,
        p.runs,
        p.taps,
        p.blocks,
        accumulate or residual is not None,
        kind(alpha),
        kind(beta),
        kind(0 if activation == "relu" else -np.inf),
        work=p.flops,
    )


@njit
def activate(c, table, base, rows, column, columns):
    """Nothing: relu is the tile's."""


@njit
def _through_gelu(c, table, base, rows, column, columns):
    for i in range(rows):
        at = (table[i] - base) // c.itemsize + column
        _gelu_row(c[at : at + columns])


@njit(error_model="numpy")
def _gelu_row(y):
    for j in range(y.size):
        y[j] = y[j] * normal_distribution(y[j])


@kernel
def _multiply(a, b, c, d, bias, scale, parts, jobs, runs, taps, blocks, add, alpha, beta, floor):
    for index in prange(jobs.size):
        job = jobs[np.int64(index)]  # unsigned in the parallel variant, and then a sum with a signed number is a float
        p = parts[job.part]
        size, lanes, one, none = a.itemsize, ROW_BYTES // a.itemsize, a.dtype.type(1), a.dtype.type(0)
        table = carray(stack(1, TABLES), (4, TABLE))  # addresses of A's rows, of their copies, of C's, of edge's
        copied_a, copied_b = (
            carray(stack(one, A_SCRATCH), A_SCRATCH // size),
            carray(stack(one, B_SCRATCH), B_SCRATCH // size),
        )
        edge, line = carray(stack(one, EDGE), (TABLE, lanes)), carray(stack(one, LINES), (3, PANELS * lanes))
        from_a, from_b, from_c = (
            p.a + job.group * p.a_group,
            job.group * p.b_group + job.first_panel * p.b_panel,
            p.c + job.group * p.c_group,
        )
        panels, column = job.last_panel - job.first_panel, job.first_panel * lanes
        columns = min(p.columns - column, panels * lanes)
        numbers(bias[:0], 0, columns, line[0], none, one)
        numbers(bias, job.group * p.columns + column, columns, line[1], none, one)
        numbers(scale, job.group * p.columns + column, columns, line[2], one, alpha)
        for block in range(p.first, p.last):
            opens, final = block == p.first, block == p.last - 1
            its_runs, first_tap, last_tap = (
                runs[blocks[block, 0] : blocks[block, 1]],
                blocks[block, 2],
                blocks[block, 3],
            )
            if p.copies_b:
                copy_b(b, from_b, columns, its_runs, p, copied_b)
            ahead = 0
            if p.a_step == 1 and last_tap > first_tap:
                ahead = -(-taps[first_tap, 2] * size // (panels * LINE)) * LINE
            for first in range(job.first, job.last, CHUNK):
                rows = min(CHUNK, job.last - first)
                tall, short = forms(rows)
                seen = min(job.last, first + rows + MR)  # and what is asked for ahead
                addresses(table[0], first, seen, a.ctypes.data + from_a * size, p.n1, p.n2, p.a0, p.a1, p.a2, size)
                addresses(
                    table[2], first, first + rows, c.ctypes.data + from_c * size, p.n1, p.n2, p.c0, p.c1, p.c2, size
                )
                if p.copies_a:
                    addresses(table[1], 0, rows, copied_a.ctypes.data, 1, rows, 0, 0, p.a_row, 1)
                    copy_a(a, table[0], a.ctypes.data, rows, its_runs, p, copied_a)
                for ragged in range(2):
                    beside = columns % lanes if ragged else columns // lanes  # panels: the whole ones, then the last
                    if beside == 0:
                        continue
                    skipped = columns // lanes if ragged else 0
                    if ragged:
                        addresses(table[3], 0, rows, edge.ctypes.data, 1, rows, 0, 0, ROW_BYTES, 1)
                        if add or not opens:
                            between(
                                edge,
                                d if opens else c,
                                table[2],
                                c.ctypes.data,
                                rows,
                                column + skipped * lanes,
                                beside,
                                False,
                            )
                    tiles(
                        table[1 if p.copies_a else 0].ctypes.data,
                        table[3 if ragged else 2].ctypes.data,
                        rows,
                        tall,
                        short,
                        0 if ragged else column * size,
                        1 if ragged else beside,
                        taps.ctypes.data + 24 * first_tap,
                        last_tap - first_tap,
                        size if p.copies_a else p.a_step * size,
                        copied_b.ctypes.data + skipped * B_PANEL
                        if p.copies_b
                        else b.ctypes.data + (from_b + skipped * p.b_panel) * size,
                        ROW_BYTES if p.copies_b else p.b_step * size,
                        B_PANEL if p.copies_b else p.b_panel * size,
                        line[2].ctypes.data + skipped * ROW_BYTES,
                        line[1 if final else 0].ctypes.data + skipped * ROW_BYTES,
                        1 if add or not opens else 0,
                        np.int64(d.ctypes.data) - np.int64(c.ctypes.data) if opens and not ragged else np.int64(0),
                        ahead,
                        beta if opens else one,
                        floor if final else a.dtype.type(-np.inf),
                        MR,
                        SHORT,
                        VECTORS,
                        WIDTH,
                    )
                    if ragged:
                        between(edge, c, table[2], c.ctypes.data, rows, column + skipped * lanes, beside, True)
                if final:
                    activate(c, table[2], c.ctypes.data, rows, column, columns)


@njit
def forms(rows):
    """How many tiles of MR rows and of SHORT cover so many rows, with as few as possible made up."""
    best = -(-rows // MR), 0
    for short in range(1, 3):
        tall = max(0, -((short * SHORT - rows) // MR))
        if tall * MR + short * SHORT < best[0] * MR + best[1] * SHORT:
            best = tall, short
    return best


@njit
def addresses(table, first, last, base, n1, n2, d0, d1, d2, size):
    """table[i] = address of row first + i; the last row is repeated until its tile is full."""
    rows = last - first
    i1, i2 = first // n2 % n1, first % n2
    at, d0, d1, d2 = base + (first // n2 // n1 * d0 + i1 * d1 + i2 * d2) * size, d0 * size, d1 * size, d2 * size
    for i in range(rows):
        table[i] = at
        at, i2 = at + d2, i2 + 1
        if i2 == n2:
            at, i1, i2 = at + d1 - n2 * d2, i1 + 1, 0
            if i1 == n1:
                at, i1 = at + d0 - n1 * d1, 0
    for i in range(rows, min(table.size, rows + MR - 1)):
        table[i] = table[rows - 1]


@njit
def copy_a(a, table, base, rows, runs, p, dst):
    """dst[i][k] = A_i[k]: row after row, or in squares where rows are neighbours."""
    size, done, step = a.itemsize, 0, p.a_row // a.itemsize
    for run in range(runs.shape[0]):
        length = runs[run, 2]
        if p.a_step == 1:
            for i in range(rows):
                copy_run(a, (table[i] - base + runs[run, 0]) // size, dst, i * step + done, length)
        else:
            turn(a, (table[0] - base + runs[run, 0]) // size, p.a_step, dst, done, step, rows, length, False)
        done += length


@njit
def copy_b(b, at, columns, runs, p, dst):
    """dst[panel][k][v] = B[panel*b_panel + k*b_step + v*b_column] over all runs, for the panels of a job."""
    lanes, done = ROW_BYTES // b.itemsize, 0
    for run in range(runs.shape[0]):
        i, length = at + runs[run, 1] // b.itemsize, runs[run, 2]
        piece = PIECE if p.b_column == 1 else length
        for k in range(0, length, piece):
            for first in range(0, columns, lanes):
                src, to = i + k * p.b_step + first // lanes * p.b_panel, first * BLOCK + (done + k) * lanes
                fill(
                    b,
                    src,
                    p.b_step,
                    p.b_column,
                    min(lanes, columns - first),
                    dst,
                    to,
                    min(piece, length - k),
                    lanes,
                    False,
                )
        done += length


@njit
def numbers(x, first, valid, line, missing, factor):
    """line[v] = factor * x[first + v], v < valid; or times what stands for an x that is missing."""
    for v in range(line.size):
        line[v] = factor * (x[first + v] if x.size and v < valid else missing)


@njit
def between(edge, x, table, base, rows, column, valid, out):
    """Copies edge[i][v] to the rows of x, or from them. table, base: addresses of C's rows, and of C, which x is or is like."""
    for i in range(rows):
        at = (table[i] - base) // x.itemsize + column
        for v in range(valid):
            if out:
                x[at + v] = edge[i, v]
            else:
                edge[i, v] = x[at + v]


# Last, because a copy sees the names that are there when it is made.
_multiply_gelu = kernel(specialised(_multiply.function, "_multiply_gelu", activate=_through_gelu))
