"""Matrix products and sums of columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .epilogue import epilogue
from .launch import BLOCK, WAVES, Source
from .memory import constant
from .reduction import column_sum as column_sum  # an op of this file

_kernels = Source("gemm.cu")

TILE = 128  # rows and columns of C that a block computes


def gemm(
    a: Any, b: Any, *, out: Any, pool: Any = None, trans_a: bool = False, trans_b: bool = False, **finish: Any
) -> None:
    """c[m,n] = act( alpha * sum_k a[m,k] * b[k,n] + bias[n] + residual[m,n] + beta * c[m,n] )"""
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    multiply(a, b, out, m, n, k, trans_a=trans_a, trans_b=trans_b, **finish)


def batched_gemm(
    a: Any, b: Any, *, out: Any, pool: Any = None, trans_a: bool = False, trans_b: bool = False, **finish: Any
) -> None:
    """gemm for every g."""
    groups, m, n = out.shape
    k = a.shape[1] if trans_a else a.shape[2]
    multiply(a, b, out, m, n, k, groups=(1, groups), trans_a=trans_a, trans_b=trans_b, **finish)


class Operand(NamedTuple):
    """Where a matrix of each group is: numbers from row to row, and from group to group by its two digits."""

    row: int
    outer: int = 0
    inner: int = 0


def multiply(
    a: Any,
    b: Any,
    c: Any,
    m: int,
    n: int,
    k: int,
    *,
    groups: tuple[int, int] = (1, 1),
    of_a: Operand | None = None,
    of_b: Operand | None = None,
    of_c: Operand | None = None,
    trans_a: bool = False,
    trans_b: bool = False,
    **finish: Any,
) -> None:
    """c[g] = act( a[g] * b[g] + ... ) for every group g.   of_a, of_b, of_c: matrices without gaps where they are not given.

    finish: of `epilogue`; a bias has a row for each group.
    """
    of_a = of_a or Operand(m if trans_a else k, m * k * groups[1], m * k)
    of_b = of_b or Operand(k if trans_b else n, k * n * groups[1], k * n)
    of_c = of_c or Operand(n, m * n * groups[1], m * n)
    table = (*groups, m, n, k, *of_a, *of_b, *of_c)
    layout = constant(c, ("product", *table), lambda: np.array(table, np.int64))
    grid = min(groups[0] * groups[1] * -(-m // TILE) * -(-n // TILE), WAVES)
    rows, numbers = epilogue(c, **finish)
    _kernels.launch(f"gemm_{'nt'[trans_a]}{'nt'[trans_b]}", grid, BLOCK, a, b, *rows, c, layout, *numbers)
