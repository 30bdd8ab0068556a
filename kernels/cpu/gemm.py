"""Matrix product: one product of the tile, with B packed.

A row of a tile is read one number at a time, so A stays where it is unless it is transposed: then the numbers of a row
lie a whole line of memory apart, and it is packed into panels like B. B is packed because it is read once for every
tile of rows, and unpacked its lines would fall on a few sets of the cache; unless there are but few tiles.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from .brgemm import Product, Steps, empty, lanes, multiply, product
from .compile import kernel
from .panel import Layout, pack
from .second_pass import finish
from .simd import MR

ROWS = 1024  # of a job of column_sum
FEW = 4 * MR  # rows of A for which packing B costs more than it saves


def gemm(a: Any, b: Any, *, out: Any, pool: Any = None, bias: Any = None, residual: Any = None, **how: Any) -> None:
    """c[m,n] = act( alpha * sum_k a[m,k] * b[k,n] + bias[n] + residual[m,n] ); the op's definition is in kernels/ops/."""
    one_more = (None if x is None else x[None] for x in (bias, residual))
    batched_gemm(a[None], b[None], out[None], pool, *one_more, **how)


def batched_gemm(
    a: Any,
    b: Any,
    out: Any,
    pool: Any = None,
    bias: Any = None,
    residual: Any = None,
    trans_a: bool = False,
    trans_b: bool = False,
    activation: str | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """gemm for every g, as groups of one product; the op's definition is in kernels/ops/."""
    groups, m, n = out.shape
    if out.size == 0:
        return
    k = a.shape[1] if trans_a else a.shape[2]
    pack_b = trans_b or n % lanes(b.dtype) > 0 or m > FEW
    if pack_b:
        b = panels(b, n, k, pool, groups, transposed=trans_b)
    if trans_a:
        a = panels(a, m, k, pool, groups)
    p = plain(a.dtype, m, n, k, groups, trans_a, pack_b)
    if alpha == 1 and beta in (0, 1) and residual is None and activation != "gelu":
        multiply(p, a, b, out, pool, bias, activation, beta == 1)
        return
    sums = empty(pool, out.shape, out.dtype)
    multiply(p, a, b, sums, pool)
    finish(sums, out, pool, alpha, None if bias is None else bias[:, None], residual, activation, beta)


def panels(src: Any, columns: int, terms: int, pool: Any, groups: int = 1, *, transposed: bool = False) -> np.ndarray:
    """Panels of each group of src: (terms, columns), or (columns, terms) if transposed."""
    step, column = (1, terms) if transposed else (columns, 1)
    layout = Layout(1, 1, terms, 0, 0, step, columns, column, groups, terms * columns)
    nr = lanes(src.dtype)
    return pack(src, empty(pool, layout.size(nr), src.dtype), layout, nr)


@lru_cache(maxsize=512)
def plain(
    dtype: np.dtype,
    m: int,
    n: int,
    k: int,
    groups: int = 1,
    packed_a: bool = False,
    packed_b: bool = True,
    a_row: int | None = None,
    c_row: int | None = None,
) -> Product:
    """A product of matrices. a_row, c_row: from one row of A or C to the next, where there is something between them."""
    nr = lanes(dtype)
    a_row, c_row = k if a_row is None else a_row, n if c_row is None else c_row
    a1, a2, a_step = (k * nr, 1, nr) if packed_a else (0, a_row, 1)
    n1, n2 = (-(-m // nr), nr) if packed_a else (1, m)
    steps = Steps(
        rows=m,
        columns=n,
        n1=n1,
        n2=n2,
        a0=0,
        a1=a1,
        a2=a2,
        c0=0,
        c1=nr * c_row,
        c2=c_row,
        a_step=a_step,
        b_step=nr if packed_b else n,
        b_panel=k * nr if packed_b else nr,
        groups=groups,
        a_group=n1 * nr * k if packed_a else m * a_row,
        b_group=-(-n // nr) * nr * k if packed_b else k * n,
        c_group=m * c_row,
    )
    return product(dtype, steps, np.zeros((1, 2), np.int64), k)


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
