"""The driver of the tile: which rows, which panels, in which order.

    job = (group, part, some rows, some panels):
        for block of the sum:                         A's rows may be copied: 48,000 numbers, in L2
            for panel of B:                           B's slice may be copied: 256 x NR numbers, in L1
                for tile of rows

A slice that is copied by the job that reads it costs no second parallel region and is still in the first-level cache
when it is read; one that many jobs read is better packed beforehand (panel.py). Scratch lies on the stack of the thread
that runs the job: it is warm, belongs to nobody else and is not handed in. Panels that are not whole are computed beside
C and their columns copied, since masked stores are slow.

After Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication" (10.1145/1356052.1356053).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, prange

from .compile import kernel, specialised
from .exponential import normal_distribution
from .panel import copy, fill, turn
from .product import A_BYTES, LINE, MOST_ROWS, Product
from .registers import stack
from .simd import BLOCK, MR, ROW_BYTES, SHORT, VECTORS, WIDTH
from .tile import tiles

NOTHING = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}

TABLE = MOST_ROWS + MR  # rows of a job, and those that fill up a tile
# Scratch of a job, in bytes: four tables of addresses, a block of A, of B, of C's last panel; scale and bias of a panel.
TABLES, A_SCRATCH, B_SCRATCH, EDGE, LINES = (
    4 * 8 * TABLE,
    A_BYTES + TABLE * 2 * LINE,
    BLOCK * ROW_BYTES,
    TABLE * ROW_BYTES,
    2 * ROW_BYTES,
)


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
def activate(c, table, base, rows, column, valid):
    """Nothing: relu is the tile's."""


@njit
def _through_gelu(c, table, base, rows, column, valid):
    for i in range(rows):
        at = (table[i] - base) // c.itemsize + column
        _gelu_row(c[at : at + valid])


@njit(error_model="numpy")
def _gelu_row(y):
    for j in range(y.size):
        y[j] = y[j] * normal_distribution(y[j])


@kernel
def _multiply(a, b, c, d, bias, scale, parts, jobs, runs, taps, blocks, add, alpha, beta, floor):
    for index in prange(jobs.size):
        job = jobs[np.int64(index)]  # unsigned in the parallel variant, and then a sum with a signed number is a float
        p = parts[job.part]
        size, lanes = a.itemsize, ROW_BYTES // a.itemsize
        a_at, b_at, c_at = a.ctypes.data, b.ctypes.data + job.group * p.b_group * size, c.ctypes.data
        rows, one = job.last - job.first, a.dtype.type(1)
        tall, short = forms(rows)
        table = carray(stack(1, TABLES), (4, TABLE))  # addresses of A's rows, of their copies, of C's rows, of edges
        copied_a, copied_b = (
            carray(stack(one, A_SCRATCH), A_SCRATCH // size),
            carray(stack(one, B_SCRATCH), B_SCRATCH // size),
        )
        edge = carray(stack(one, EDGE), (TABLE, lanes))
        line = carray(stack(one, LINES), (2, lanes))
        from_a, from_c = a_at + (p.a + job.group * p.a_group) * size, c_at + (p.c + job.group * p.c_group) * size
        addresses(table[0], job.first, job.last, from_a, p.n1, p.n2, p.a0, p.a1, p.a2, size)
        addresses(table[1], 0, rows, copied_a.ctypes.data, 1, rows, 0, 0, p.a_row, 1)
        addresses(table[2], job.first, job.last, from_c, p.n1, p.n2, p.c0, p.c1, p.c2, size)
        addresses(table[3], 0, rows, edge.ctypes.data, 1, rows, 0, 0, ROW_BYTES, 1)
        for block in range(p.first, p.last):
            opens, final = block == p.first, block == p.last - 1
            adds = add or not opens
            from_d = np.int64(d.ctypes.data) - np.int64(c_at) if opens else 0  # unsigned and signed would be a float
            if p.copies_a:
                copy_a(a, table[0], a_at, rows, runs[blocks[block, 0] : blocks[block, 1]], p, copied_a)
            for panel in range(job.first_panel, job.last_panel):
                valid = min(lanes, p.columns - panel * lanes)
                whole = valid == lanes
                numbers(
                    bias if final else bias[:0], job.group * p.columns + panel * lanes, valid, line[0], a.dtype.type(0)
                )
                numbers(scale, job.group * p.columns + panel * lanes, valid, line[1], one)
                for v in range(lanes):
                    line[1, v] *= alpha
                if p.copies_b:
                    copy_b(
                        b,
                        job.group * p.b_group + panel * p.b_panel,
                        valid,
                        runs[blocks[block, 0] : blocks[block, 1]],
                        p,
                        copied_b,
                    )
                if adds and not whole:
                    between(edge, d if opens else c, table[2], c_at, rows, panel * lanes, valid, False)
                tiles(
                    table[1 if p.copies_a else 0].ctypes.data,
                    table[2 if whole else 3].ctypes.data,
                    panel * ROW_BYTES if whole else 0,
                    rows,
                    tall,
                    short,
                    taps.ctypes.data + 24 * blocks[block, 2],
                    blocks[block, 3] - blocks[block, 2],
                    size if p.copies_a else p.a_step * size,
                    copied_b.ctypes.data if p.copies_b else b_at + panel * p.b_panel * size,
                    ROW_BYTES if p.copies_b else p.b_step * size,
                    line[1].ctypes.data,
                    line[0].ctypes.data,
                    1 if adds else 0,
                    from_d if whole else 0,
                    beta if opens else one,
                    floor if final else a.dtype.type(-np.inf),
                    MR,
                    SHORT,
                    VECTORS,
                    WIDTH,
                )
                if not whole:
                    between(edge, c, table[2], c_at, rows, panel * lanes, valid, True)
                if final:
                    activate(c, table[2], c_at, rows, panel * lanes, valid)


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
                copy(a, (table[i] - base + runs[run, 0]) // size, 0, dst, i * step + done, 0, 1, length, False)
        else:
            turn(a, (table[0] - base + runs[run, 0]) // size, p.a_step, dst, done, step, rows, length, False)
        done += length


@njit
def copy_b(b, at, valid, runs, p, dst):
    """dst[k][v] = B[k*b_step + v*b_column] over all runs."""
    lanes, done = ROW_BYTES // b.itemsize, 0
    for run in range(runs.shape[0]):
        fill(
            b,
            at + runs[run, 1] // b.itemsize,
            p.b_step,
            p.b_column,
            valid,
            dst,
            done * lanes,
            runs[run, 2],
            lanes,
            False,
        )
        done += runs[run, 2]


@njit
def numbers(x, first, valid, line, missing):
    """line[v] = x[first + v], v < valid; or what stands for an x that is missing."""
    for v in range(line.size):
        line[v] = x[first + v] if x.size and v < valid else missing


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
