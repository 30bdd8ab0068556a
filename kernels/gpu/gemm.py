"""Matrix products and sums of columns."""

from __future__ import annotations

from typing import Any

from .launch import BLOCK, WAVES, Source
from .reduction import column_sum as column_sum  # an op of this file

_kernels = Source("gemm.cu")

TILE = 128  # rows and columns of C that a block computes


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
    """c[m,n] = act( sum_k a[m,k] * b[k,n] + bias[n] )"""
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    multiply(a, b, out, (1, m, n, k), trans_a, trans_b, bias, activation, accumulate)


def multiply(
    a: Any,
    b: Any,
    out: Any,
    shape: tuple[int, int, int, int],
    trans_a: bool = False,
    trans_b: bool = False,
    bias: Any = None,
    activation: str | None = None,
    accumulate: bool = False,
) -> None:
    """c[g] = act( a[g] * b[g] + bias ) for every g.   shape: (G, M, N, K)"""
    groups, m, n, _ = shape
    kernel = f"gemm_{'nt'[trans_a]}{'nt'[trans_b]}"
    grid = min(groups * -(-m // TILE) * -(-n // TILE), WAVES)
    given = out if bias is None else bias  # some array of the right type where there is no bias
    _kernels.launch(kernel, grid, BLOCK, a, b, given, out, *shape, bias is not None, activation == "relu", accumulate)
