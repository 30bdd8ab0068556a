"""What a product consists of: its rows, its sum and its jobs, as arrays of integers that are made once for a shape.

    C[g][c + c_i + j] = act( sum_{t,k} A[g][a + a_i + a_t + k*a_step] * B[g][b(j) + b_t + k*b_step] + ... )

A Part is a set of rows i with their own distances and their own taps t: a matrix is one part; a convolution's border is
another part than its inside, because its pixels meet fewer taps. All parts of a Product are computed in one parallel
region. Row i has three digits (i0, i1, i2) in the radices (., n1, n2): sample, row and column of a pixel; or just i.

The sum of a part is cut into blocks of at most BLOCK terms: long taps are cut, short ones gathered. The cut follows from
the taps alone and the jobs from the shape alone; every number of C is its own sum over k in ascending order within a
block, and the blocks are added in order. So the bits of a row are the same in any batch, whichever factor is copied or
exchanged with the other, and with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .simd import BLOCK, MR, PANELS, ROW_BYTES, lanes

JOBS = 16  # at least so many, if there is that much to share out:
GRAIN = 16_000_000  # float operations of a job that is cut no further for it, since each copies its panels anew
LINE = 64  # bytes; rows of A that are copied lie an odd number of lines apart, so that they fall on all sets of a cache


class Part(NamedTuple):
    """Rows with the same taps. All distances are in numbers.

    a, a0..a2 and c, c0..c2: where the part begins in A and in C, and the distances of a row's digits.
    first, last: its taps, of all that the product has; none is a sum of nothing, and C is act(bias).
    b_panel: from one panel of B, lanes(dtype) columns, to the next.   b_column: from one column to the next in a panel.
    copies_a: A's rows are copied by each job, a block at a time; a_step must be 1, or a2 with no other digit.
    copies_b: B's panels are copied by each job, a block at a time. Where they are not, b_column must be 1 and all
    columns of the last panel readable.
    """

    rows: int
    columns: int
    first: int
    last: int
    a_step: int
    b_step: int
    b_panel: int
    a0: int = 0
    a1: int = 0
    a2: int = 0
    c0: int = 0
    c1: int = 0
    c2: int = 0
    n1: int = 1
    n2: int = 1
    a: int = 0
    c: int = 0
    b_column: int = 1
    a_group: int = 0
    b_group: int = 0
    c_group: int = 0
    copies_a: bool = False
    copies_b: bool = False


# first and last: of `blocks`; a_row: bytes from a copied row of A to the next
RECORD = np.dtype([(name, np.int64) for name in (*Part._fields, "a_row")])
JOB = np.dtype([(name, np.int64) for name in ("group", "part", "first", "last", "first_panel", "last_panel")])


@dataclass(frozen=True, slots=True)
class Product:
    """A product without its arrays. parts: RECORDs.   jobs: JOBs.   flops: of all of it.

    runs, taps: (a_t, b_t, length) in bytes, bytes and terms: what is copied, and what the tile reads then.
    blocks: for each block, its first and last run, its first and last tap.
    """

    dtype: np.dtype
    parts: np.ndarray
    jobs: np.ndarray
    runs: np.ndarray
    taps: np.ndarray
    blocks: np.ndarray
    flops: int


def product(dtype: np.dtype, parts: Sequence[Part], taps: Any, groups: int = 1) -> Product:
    """A Product of parts. taps: (T, 3), of all parts: where in A and in B a run of terms starts, and its length."""
    taps = np.asarray(taps, np.int64).reshape(-1, 3)
    records, cuts, flops = np.zeros(len(parts), RECORD), _Cuts(dtype.itemsize), 0
    jobs: list[tuple] = []
    for i, part in enumerate(parts):
        first, last, longest = cuts.add(part, taps[part.first : part.last])
        records[i] = (*part._replace(first=first, last=last), (longest * dtype.itemsize // LINE + 1 | 1) * LINE)
        work = 2 * part.rows * part.columns * groups * int(taps[part.first : part.last, 2].sum())
        panels = -(-part.columns // lanes(dtype))
        jobs += _jobs(i, part, groups, panels, min(JOBS, work // GRAIN))
        flops += work
    runs, cut_taps, blocks = (
        np.array(x, np.int64).reshape(-1, n) for x, n in zip(cuts.lists(), (3, 3, 4), strict=True)
    )
    return Product(dtype, records, np.array(jobs, JOB), runs, cut_taps, blocks, flops)


class _Cuts:
    """Collects runs, taps and blocks."""

    def __init__(self, size: int):
        self.size = size
        self.runs: list[tuple] = []
        self.taps: list[tuple] = []
        self.blocks: list[tuple] = []
        self.known: dict[tuple, tuple[int, int, int]] = {}

    def add(self, part: Part, taps: np.ndarray) -> tuple[int, int, int]:
        """The part's first and last block and the terms of its longest; parts that sum alike share them."""
        how = (part.a_step, part.b_step, part.copies_a, part.copies_b, taps.tobytes())
        if how not in self.known:
            first, longest = len(self.blocks), 0
            for block in gathered(taps, part.a_step, part.b_step):
                runs, at = len(self.runs), len(self.taps)
                self._block(part, block)
                self.blocks.append((runs, len(self.runs), at, len(self.taps)))
                longest = max(longest, sum(run[2] for run in block))
            self.known[how] = first, len(self.blocks), longest
        return self.known[how]

    def lists(self) -> tuple[list, list, list]:
        return self.runs, self.taps, self.blocks

    def _block(self, part: Part, block: list[tuple[int, int, int]]) -> None:
        done = 0
        for a, b, length in block:
            self.runs.append((a * self.size, b * self.size, length))
            at = done * self.size if part.copies_a else a * self.size
            panel = done * ROW_BYTES if part.copies_b else b * self.size
            a_step = self.size if part.copies_a else part.a_step * self.size
            b_step = ROW_BYTES if part.copies_b else part.b_step * self.size
            before = self.taps[-1] if done else None
            if before and (before[0] + before[2] * a_step, before[1] + before[2] * b_step) == (at, panel):
                self.taps[-1] = (before[0], before[1], before[2] + length)
            else:
                self.taps.append((at, panel, length))
            done += length


def gathered(taps: np.ndarray, a_step: int, b_step: int) -> list[list[tuple[int, int, int]]]:
    """The blocks: lists of runs that have at most BLOCK terms together; one without runs where there is nothing to sum."""
    blocks: list[list[tuple[int, int, int]]] = [[]]
    room = BLOCK
    for a, b, terms in taps.tolist():
        pieces = -(-terms // BLOCK)
        for piece in range(pieces):
            start, stop = piece * terms // pieces, (piece + 1) * terms // pieces
            if stop - start > room:
                blocks.append([])
                room = BLOCK
            blocks[-1].append((a + start * a_step, b + start * b_step, stop - start))
            room -= stop - start
    return blocks


def _jobs(i: int, part: Part, groups: int, panels: int, wanted: int) -> list[tuple]:
    """Columns in chunks whose block of B stays in the second-level cache; then rows, until there are as many as wanted."""
    column_jobs = -(-panels // PANELS)
    row_jobs = max(1, min(-(-part.rows // MR), -(-wanted // max(1, groups * column_jobs))))
    step = max(1, -(-part.rows // (row_jobs * MR)) * MR)
    return [
        (group, i, row, min(part.rows, row + step), panels * j // column_jobs, panels * (j + 1) // column_jobs)
        for group in range(groups)
        for j in range(column_jobs)
        for row in range(0, part.rows, step)
    ]
