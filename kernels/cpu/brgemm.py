"""The driver of the tile: which rows, which panels, in which order.

A product is described by addresses alone, so that gemm and all three convolutions share this one compiled function:

    C[g][i][j] (+)= act( sum_{t,k} A[g][row_i + a_t + k*a_step] * B[g][panel(j) + b_t + k*b_step + j mod NR] + bias[g][j] )

Row i has three digits (i0, i1, i2) in the radices (., n1, n2): sample, row, column of a pixel; or just i. The sum is cut
into blocks whose slice of B stays in the first-level cache; the cut depends on the length of the sum only and the jobs on
the shape only. So the bits of a row are the same in any batch and with any number of threads.

    job = (group, 96 rows, some panels):   for block of the sum:  for panel of B:  for tile of 6 rows     (B in L1, A in L2)

After Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication" (10.1145/1356052.1356053).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from .compile import kernel
from .simd import MR, VECTORS, WIDTH, tile

ROW_BYTES = VECTORS * WIDTH  # of one row of a panel of B
BLOCK = 24 * 1024 // ROW_BYTES  # terms of the sum: a slice of a panel fills 3/4 of a 32 KiB cache
TILES = 96 // MR  # row tiles of a job: 96 rows of 384 numbers fill a quarter of a 512 KiB cache
JOBS = 16  # at least so many, if there is that much to share out


class Steps(NamedTuple):
    """Numbers of a product, all distances in bytes."""

    rows: int
    n1: int
    n2: int
    a0: int
    a1: int
    a2: int
    a_step: int
    a_group: int
    b_step: int
    b_panel: int
    b_group: int
    c0: int
    c1: int
    c2: int
    c_group: int
    columns: int
    groups: int
    row_jobs: int
    tiles: int  # row tiles of a job
    column_jobs: int
    panels: int  # column panels of a job


@dataclass(frozen=True)
class Product:
    """A product's geometry: no arrays' data in it, so it is made once for a shape."""

    steps: Steps
    taps: np.ndarray  # (T, 3) int64: bytes into A, bytes into B, terms
    blocks: np.ndarray  # (blocks + 1,) int64: taps of each block
    dtype: np.dtype
    flops: int


def lanes(dtype: Any) -> int:
    """NR: the columns of a tile."""
    return ROW_BYTES // np.dtype(dtype).itemsize


def product(
    dtype: np.dtype,
    *,
    digits: tuple[int, int, int],
    a_rows: tuple[int, int, int],
    c_rows: tuple[int, int, int],
    taps: np.ndarray,
    terms: int,
    a_step: int,
    b_step: int,
    b_panel: int,
    columns: int,
    groups: int = 1,
    a_group: int = 0,
    b_group: int = 0,
    c_group: int = 0,
) -> Product:
    """A Product from distances in numbers. digits: how many rows, as (i0, i1, i2).   a_rows, c_rows: distances of each digit.

    taps: (T, 2) offsets into A and B of runs of `terms` terms each.
    """
    size, nr = dtype.itemsize, lanes(dtype)
    rows = digits[0] * digits[1] * digits[2]
    row_tiles, panels = -(-rows // MR), -(-columns // nr)
    row_jobs = -(-row_tiles // TILES)
    column_jobs = min(panels, -(-JOBS // max(1, groups * row_jobs)))
    steps = Steps(
        rows,
        digits[1],
        digits[2],
        *(size * d for d in (*a_rows, a_step, a_group, b_step, b_panel, b_group, *c_rows, c_group)),
        columns,
        groups,
        row_jobs,
        -(-row_tiles // max(1, row_jobs)),
        column_jobs,
        -(-panels // column_jobs),
    )
    runs, blocks = _blocks(taps, terms, a_step, b_step, size)
    return Product(steps, runs, blocks, dtype, 2 * rows * columns * groups * terms * len(taps))


def _blocks(taps: np.ndarray, terms: int, a_step: int, b_step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts long runs into pieces and gathers short ones, to about BLOCK terms a block."""
    pieces = max(1, -(-terms // BLOCK))
    starts = np.arange(pieces) * terms // pieces
    lengths = np.diff(np.append(starts, terms))
    offsets = np.stack([starts * a_step, starts * b_step], axis=1)
    runs = np.empty((len(taps), pieces, 3), np.int64)
    runs[:, :, :2] = (taps[:, None, :] + offsets[None]) * size
    runs[:, :, 2] = lengths
    count = max(1, -(-len(taps) * terms // BLOCK)) if pieces == 1 else len(taps) * pieces
    return runs.reshape(-1, 3), np.arange(count + 1) * (len(taps) * pieces) // count


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
    """Computes a Product. a, b, c: arrays, of which only the address counts."""
    s = p.steps
    if s.rows == 0:
        return
    none = p.dtype.type(-np.inf)
    padded = _padded_bias(bias, s, p.dtype)
    jobs = s.groups * s.row_jobs * s.column_jobs
    table = empty(pool, (jobs, 2, s.tiles * MR), np.int64)
    _multiply(
        a.ctypes.data,
        b.ctypes.data,
        c.ctypes.data,
        padded.ctypes.data,
        0 if bias is None else ROW_BYTES,
        s,
        p.taps,
        p.blocks,
        table,
        int(accumulate),
        none,
        p.dtype.type(0) if activation == "relu" else none,
        work=p.flops,
    )


def empty(pool: Any, shape: Any, dtype: Any) -> np.ndarray:
    """Scratch from the caller's pool, or plainly allocated."""
    return np.empty(shape, dtype) if pool is None else pool.empty(shape, dtype)


def _padded_bias(bias: Any, s: Steps, dtype: np.dtype) -> np.ndarray:
    """One row of zeros (for all blocks but the last), then each group's bias, filled up to whole panels."""
    nr = lanes(dtype)
    panels = -(-s.columns // nr) if bias is not None else 0
    padded = np.zeros(nr * (1 + s.groups * panels), dtype)
    if bias is not None:
        padded[nr:].reshape(s.groups, -1)[:, : s.columns] = bias.reshape(s.groups, s.columns)
    return padded


@kernel
def _multiply(a, b, c, bias, bias_step, s, taps, blocks, table, accumulate, none, floor):  # type: ignore[no-untyped-def]
    panels = -(-s.columns * s.b_size // ROW_BYTES)
    for job in prange(table.shape[0]):
        pass
