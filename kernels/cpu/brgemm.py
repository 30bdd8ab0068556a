"""The driver of the tile: which rows, which panels, in which order.

A product is described by distances alone, so that gemm and all three convolutions share this one compiled function:

    C[g][c_i + j] (+)= act( sum_{t,k} A[g][a_i + a_t + k*a_step] * B[g][panel(j) + b_t + k*b_step + j%NR] + bias[g][j] )

Row i has three digits (i0, i1, i2) in the radices (., n1, n2): sample, row and column of a pixel; or just i. The sum is
cut into blocks whose slice of B stays in the first-level cache; the cut depends on the length of the sum only, and the
jobs on the shape only. So the bits of a row are the same in any batch and with any number of threads.

    job = (group, 96 rows, some panels):  for block of the sum:  for panel of B:  for tile of rows      B in L1, A in L2

After Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication" (10.1145/1356052.1356053).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from .compile import kernel
from .simd import MR, VECTORS, WIDTH
from .tile import tile

ROW_BYTES = VECTORS * WIDTH  # of one row of a panel of B
BLOCK = 16 * 1024 // ROW_BYTES  # terms of the sum: a slice of a panel fills half of a 32 KiB cache
TILES = 96 // MR  # row tiles of a job: 96 rows of a block fill a fifth of a 512 KiB cache
JOBS = 16  # at least so many, if there is that much to share out


class Steps(NamedTuple):
    """A product's size and its distances, in numbers, not bytes. a0, a1, a2: of a row's digits in A; c0..c2: in C."""

    rows: int
    columns: int
    n1: int
    n2: int
    a0: int
    a1: int
    a2: int
    c0: int
    c1: int
    c2: int
    a_step: int
    b_step: int
    b_panel: int
    groups: int = 1
    a_group: int = 0
    b_group: int = 0
    c_group: int = 0


class Jobs(NamedTuple):
    """How C is shared out: row_jobs of `tiles` row tiles each, times column_jobs of `panels` panels each."""

    row_jobs: int
    tiles: int
    column_jobs: int
    panels: int


@dataclass(frozen=True)
class Product:
    """A product without its arrays, made once for a shape. taps: (T, 3), for the tile.   blocks: bounds in taps."""

    steps: Steps
    jobs: Jobs
    taps: np.ndarray
    blocks: np.ndarray
    dtype: np.dtype
    flops: int


def lanes(dtype: Any) -> int:
    """NR: the columns of a tile."""
    return ROW_BYTES // np.dtype(dtype).itemsize


def product(dtype: np.dtype, steps: Steps, taps: np.ndarray, terms: int) -> Product:
    """A Product from its distances and taps, (T, 2): where in A and in B a run of `terms` terms starts."""
    row_tiles, panels = -(-steps.rows // MR), -(-steps.columns // lanes(dtype))
    row_jobs = max(1, -(-row_tiles // TILES))
    column_jobs = max(1, min(panels, -(-JOBS // (steps.groups * row_jobs))))
    jobs = Jobs(row_jobs, -(-row_tiles // row_jobs), column_jobs, -(-panels // column_jobs))
    flops = 2 * steps.rows * steps.columns * steps.groups * terms * len(taps)
    return Product(steps, jobs, *_cut(taps[: len(taps) if terms else 0], terms, steps, dtype.itemsize), dtype, flops)


def _cut(taps: np.ndarray, terms: int, steps: Steps, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs and the bounds of blocks: long runs are cut, short ones gathered, to at most about BLOCK terms a block."""
    pieces = max(1, -(-terms // BLOCK))
    starts = np.arange(pieces) * terms // pieces
    runs = np.empty((len(taps), pieces, 3), np.int64)
    runs[:, :, :2] = size * (taps[:, None] + np.outer(starts, (steps.a_step, steps.b_step)))
    runs[:, :, 2] = np.diff(np.append(starts, terms))
    blocks = len(taps) * pieces if pieces > 1 else max(1, -(-len(taps) * terms // BLOCK))
    return runs.reshape(-1, 3), np.arange(blocks + 1) * (len(taps) * pieces) // blocks


def multiply(
    p: Product,
    a: Any,
    b: Any,
    c: Any,
    pool: Any,
    bias: Any = None,
    activation: str | None = None,
    accumulate: bool = False,
) -> None:
    """Computes a Product. a, b, c: contiguous arrays of its dtype, of any shape."""
    if p.steps.rows * p.steps.columns == 0:
        return
    everything = p.dtype.type(-np.inf)
    jobs = p.steps.groups * p.jobs.row_jobs * p.jobs.column_jobs
    _multiply(
        a.reshape(-1),
        b.reshape(-1),
        c.reshape(-1),
        _padded_bias(bias, p),
        p.steps,
        p.jobs,
        p.taps,
        p.blocks,
        empty(pool, (jobs, 2, p.jobs.tiles * MR), np.int64),
        int(accumulate),
        everything,
        p.dtype.type(0) if activation == "relu" else everything,
        work=p.flops,
    )


def empty(pool: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Scratch from the caller's pool, or plainly allocated."""
    return np.empty(shape, dtype) if pool is None else pool.empty(shape, dtype)


def _padded_bias(bias: Any, p: Product) -> np.ndarray:
    """One row of zeros, for all blocks but the last; then each group's bias, filled up to whole panels."""
    nr, groups, columns = lanes(p.dtype), p.steps.groups, p.steps.columns
    if bias is None:
        return np.zeros((1, nr), p.dtype)
    panels = -(-columns // nr)
    padded = np.zeros((1 + groups * panels, nr), p.dtype)
    padded[1:].reshape(groups, -1)[:, :columns] = bias.reshape(groups, columns)
    return padded


@kernel
def _multiply(a, b, c, bias, s, share, taps, blocks, table, accumulate, everything, floor):
    size, lanes = a.itemsize, ROW_BYTES // a.itemsize
    all_panels = -(-s.columns // lanes)
    for index in prange(table.shape[0]):
        job = np.int64(index)  # unsigned in the parallel variant, and then a sum with a signed number is a float
        group, rest = divmod(job, share.row_jobs * share.column_jobs)
        row_job, column_job = divmod(rest, share.column_jobs)
        first = row_job * share.tiles * MR
        last = min(s.rows, first + share.tiles * MR)
        from_a, from_c = a.ctypes.data + group * s.a_group * size, c.ctypes.data + group * s.c_group * size
        addresses(table[job, 0], first, last, from_a, s.n1, s.n2, s.a0, s.a1, s.a2, size)
        addresses(table[job, 1], first, last, from_c, s.n1, s.n2, s.c0, s.c1, s.c2, size)
        for block in range(blocks.shape[0] - 1):
            final = block == blocks.shape[0] - 2
            for panel in range(column_job * share.panels, min(all_panels, (column_job + 1) * share.panels)):
                bias_row = 1 + group * all_panels + panel if final and bias.shape[0] > 1 else 0
                for i in range(0, last - first, MR):
                    tile(
                        table[job, 0].ctypes.data + 8 * i,
                        table[job, 1].ctypes.data + 8 * i,
                        panel * ROW_BYTES,
                        last - first - i,
                        taps.ctypes.data + 24 * blocks[block],
                        blocks[block + 1] - blocks[block],
                        s.a_step * size,
                        b.ctypes.data + (group * s.b_group + panel * s.b_panel) * size,
                        s.b_step * size,
                        min(lanes, s.columns - panel * lanes),
                        bias.ctypes.data + bias_row * ROW_BYTES,
                        floor if final else everything,
                        1 if block > 0 else accumulate,
                        MR,
                        VECTORS,
                        WIDTH,
                    )


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
    for i in range(rows, -(-rows // MR) * MR):
        table[i] = table[rows - 1]
