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
from .simd import MR

ROWS = 1024  # of a job of column_sum
FEW = 4 * MR  # rows of A for which packing B costs more than it saves


def gemm(
    a: Any,
    b: Any,
    *,
    out: Any,
    pool: Any = None,
    trans_a: bool = False,
    trans_b: bool = False,
    bias: Any = None,
    activation: str | None = None,
    accumulate: bool = False,
) -> None:
    """c[m,n] = act( sum_k a[m,k] * b[k,n] + bias[n] ); the op's definition is in kernels/ops/."""
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    pack_b = trans_b or n % lanes(b.dtype) > 0 or m > FEW
    if pack_b:
        b = _packed(b, n, k, trans_b, pool)
    if trans_a:
        a = _packed(a, m, k, False, pool)
    multiply(_product(m, n, k, trans_a, pack_b, a.dtype), a, b, out, pool, bias, activation, accumulate)


def _packed(src: Any, columns: int, terms: int, transposed: bool, pool: Any) -> np.ndarray:
    """Panels of src: (terms, columns), or (columns, terms) if transposed."""
    step, column = (1, terms) if transposed else (columns, 1)
    layout = Layout(1, 1, terms, 0, 0, step, columns, column)
    nr = lanes(src.dtype)
    return pack(src, empty(pool, layout.size(nr), src.dtype), layout, nr)


@lru_cache(maxsize=256)
def _product(m: int, n: int, k: int, packed_a: bool, packed_b: bool, dtype: np.dtype) -> Product:
    nr = lanes(dtype)
    a1, a2, a_step = (k * nr, 1, nr) if packed_a else (0, k, 1)
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
        c1=nr * n,
        c2=n,
        a_step=a_step,
        b_step=nr if packed_b else n,
        b_panel=k * nr if packed_b else nr,
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
