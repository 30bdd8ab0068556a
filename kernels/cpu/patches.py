"""Patches: what each pixel of the result meets, side by side, so that many rectangles are one matrix.

    patch[(n,p,q)][(r,s,c)] = x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c]        0 outside

Where pixels are few and filters large, it is the filters that cost: every rectangle reads its taps of them again, and a
border of a few pixels does little with what it has read. One matrix of patches reads them once; it takes a copy of a small
image for every tap, and products with the zeros around it. The result has the same bits as that of the rectangles if its
sum is cut at the same terms, which it is where a tap is a whole number of blocks; zeros do not change a sum, unless a
weight is infinite or not a number: then it reaches the pixels whose tap it is in the padding, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel
from .product import Part, Product, product
from .registers import copy_vectors
from .scratch import empty
from .simd import BLOCK, ROW_BYTES, VECTORS, WIDTH, lanes

FEW = 256  # rows of a matrix of patches: above, rectangles do enough with the filters they read


def suit(rows: int, terms: int, taps: int, groups: int) -> bool:
    """Whether so many pixels that meet `taps` taps of `terms` terms had better be one matrix."""
    return 0 < rows <= FEW and terms % BLOCK == 0 and taps > 1 and groups == 1


def gather(p: Product, a: Any, rows: int, length: int, pool: Any) -> np.ndarray:
    """The patches, (rows, length), of a product p of rectangles on packed filters."""
    patches = empty(pool, (rows, length), a.dtype)
    _gather(a.reshape(-1), patches.reshape(-1), p.parts, p.jobs, p.runs, p.blocks, length, work=patches.nbytes)
    return patches


@kernel
def _gather(a, patches, parts, jobs, runs, blocks, length):
    zeros = np.zeros(ROW_BYTES // a.itemsize, a.dtype)
    for index in prange(jobs.size):
        job = jobs[np.int64(index)]
        p = parts[job.part]
        for row in range(job.first, job.last if job.first_panel == 0 else job.first):
            i0, i1, i2 = row // p.n2 // p.n1, row // p.n2 % p.n1, row % p.n2
            source = p.a + i0 * p.a0 + i1 * p.a1 + i2 * p.a2
            patch = (p.c + i0 * p.c0 + i1 * p.c1 + i2 * p.c2) // p.columns * length
            done = 0
            for block in range(p.first, p.last):
                for run in range(blocks[block, 0], blocks[block, 1]):
                    to, terms = runs[run, 1] // ROW_BYTES, runs[run, 2]
                    _fill(zeros, 0, 0, patches, patch + done, to - done)
                    _fill(a, source + runs[run, 0] // a.itemsize, 1, patches, patch + to, terms)
                    done = to + terms
            _fill(zeros, 0, 0, patches, patch + done, length - done)


@njit
def _fill(src, i, step, dst, j, terms):
    """dst[j + l] = src[i + step*l], l < terms, a multiple of BLOCK; step 0: of the same few numbers."""
    row = ROW_BYTES // src.itemsize
    copy_vectors(src, i, step * row, dst, j, row, terms // row, VECTORS, WIDTH)


def on_patches(dtype: np.dtype, rows: int, k: int, c: int, taps: int, adjoint: bool) -> Product:
    """The product of patches with filters (K, taps, C); adjoint: of dy's, whose taps come in the opposite order."""
    if adjoint:
        terms, columns, b_step, b_column = k, c, taps * c, 1
        runs = [(t * k, (taps - 1 - t) * c, k) for t in range(taps)]
    else:
        terms, columns, b_step, b_column = c, k, 1, taps * c
        runs = [(0, 0, taps * c)]
    part = Part(
        rows=rows,
        columns=columns,
        first=0,
        last=len(runs),
        a_step=1,
        a2=taps * terms,
        n2=rows,
        c2=columns,
        b_step=b_step,
        b_column=b_column,
        b_panel=lanes(dtype) * b_column,
        copies_b=True,
    )
    return product(dtype, [part], runs)
