"""Matrix product: one product of the tile.

A row of a tile is read one number at a time, so A stays where it is unless it is transposed: then the numbers of a row
lie a whole line of memory apart. B's panels are copied by the jobs that read them, because they are read once for every
tile of rows, and where they lie their lines would fall on a few sets of the cache; unless there are but few tiles.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from .brgemm import multiply
from .compile import kernel
from .panel import Layout, packed
from .product import Part, Product, product
from .scratch import empty
from .simd import MR, lanes

ROWS = 1024  # of a job of column_sum
FEW = 4 * MR  # rows of A for which copying B costs more than it saves


def gemm(
    a: Any,
    b: Any,
    *,
    out: Any,
    pool: Any = None,
    trans_a: bool = False,
    trans_b: bool = False,
    beta: float = 0.0,
    **epilogue: Any,
) -> None:
    """c = act( alpha * a b + bias + residual ), or c = alpha * a b + bias + beta * c; the op's definition is in kernels/ops/."""
    m, n = out.shape
    k = a.shape[0 if trans_a else 1]
    p = matrices(a.dtype, m, n, k, 1, trans_a, trans_b)
    multiply(p, a, b, out, accumulate=beta != 0, beta=beta or 1.0, **epilogue)


def batched_gemm(
    a: Any,
    b: Any,
    *,
    out: Any,
    pool: Any,
    trans_a: bool = False,
    trans_b: bool = False,
    beta: float = 0.0,
    bias: Any = None,
    **epilogue: Any,
) -> None:
    """gemm for every g, as groups of one product; the op's definition is in kernels/ops/."""
    groups, m, n = out.shape
    k = a.shape[1 if trans_a else 2]
    p = matrices(a.dtype, m, n, k, groups, trans_a, trans_b)
    bias = None if bias is None else bias.reshape(-1)
    multiply(p, a, b, out, bias=bias, accumulate=beta != 0, beta=beta or 1.0, **epilogue)


@lru_cache(maxsize=512)
def matrices(dtype: np.dtype, m: int, n: int, k: int, groups: int, trans_a: bool, trans_b: bool) -> Product:
    """The product of matrices that lie as `gemm` says."""
    nr = lanes(dtype)
    part = Part(
        rows=m,
        columns=n,
        first=0,
        last=1,
        n2=max(1, m),
        a2=1 if trans_a else k,
        a_step=m if trans_a else 1,
        a_group=m * k,
        c2=n,
        c_group=m * n,
        b_step=1 if trans_b else n,
        b_column=k if trans_b else 1,
        b_panel=k * nr if trans_b else nr,
        b_group=k * n,
        copies_a=trans_a and m > 1,
        copies_b=trans_b or n % nr > 0 or m > FEW,
    )
    return product(dtype, [part], [(0, 0, k)], groups)


def panels(src: Any, columns: int, terms: int, pool: Any, groups: int = 1, *, transposed: bool = False) -> np.ndarray:
    """Panels of each group of src: (terms, columns), or (columns, terms) if transposed."""
    step, column = (1, terms) if transposed else (columns, 1)
    layout = Layout(1, 1, terms, 0, 0, step, columns, column, groups, terms * columns)
    return packed(src, layout, pool)


@lru_cache(maxsize=512)
def on_panels(
    dtype: np.dtype, m: int, n: int, k: int, a_row: int | None = None, a_step: int = 1, copies_a: bool = False
) -> Product:
    """A product with packed B. a_row: from one row of A to the next, a_step: from one term; else as in a matrix."""
    nr = lanes(dtype)
    part = Part(m, n, 0, 1, a_step, nr, k * nr, a2=k if a_row is None else a_row, c2=n, n2=max(1, m), copies_a=copies_a)
    return product(dtype, [part], [(0, 0, k)])


def column_sum(x: Any, *, out: Any, pool: Any = None, accumulate: bool = False) -> None:
    """y[k] = sum_m x[m,k], in float64 and rounded once; the op's definition is in kernels/ops/."""
    k = x.shape[-1]
    m = x.size // max(1, k)
    partial = empty(pool, (-(-m // ROWS), k), np.float64)
    _column_sums(x.reshape(-1), partial, m, work=x.nbytes)
    total = partial.sum(axis=0)
    out[...] = out + total if accumulate else total


@kernel
def _column_sums(x, partial, rows):
    k = partial.shape[1]
    for index in prange(partial.shape[0]):
        job = np.int64(index)
        sums = partial[job]
        for j in range(k):
            sums[j] = 0
        first, last = job * ROWS, min(rows, (job + 1) * ROWS)
        fours = first + (last - first) // 4 * 4
        for m in range(first, fours, 4):
            for j in range(k):
                i = m * k + j
                sums[j] += (np.float64(x[i]) + x[i + k]) + (np.float64(x[i + 2 * k]) + x[i + 3 * k])
        for m in range(fours, last):
            for j in range(k):
                sums[j] += x[m * k + j]
