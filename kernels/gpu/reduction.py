"""Sums over rows, columns and everything: blocks sum chunks that the shape decides, and one more pass adds the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .launch import BLOCK, WAVES, Source, cover
from .memory import scratch

_kernels = Source("reduction.cu")

CHUNK = 512  # rows that one block sums
LONG = 2048  # numbers of a row from which a block works on it, not a warp
PIECE = 1 << 14  # numbers of a sum over everything that one block sums


def column_sums(kernel: str, quantities: int, *arrays: Any, columns: int, pool: Any) -> tuple[Any, int]:
    """The partial sums (quantities, chunks, columns) of `kernel`, and the number of chunks."""
    rows = arrays[0].size // max(1, columns)
    chunks = -(-rows // CHUNK)
    partial = scratch(pool, arrays[0], (quantities, chunks, columns), np.float64)
    grid = min(chunks * -(-columns // 32), WAVES)
    _kernels.launch(kernel, grid, BLOCK, *arrays, partial, rows, columns, CHUNK)
    return partial, chunks


def column_sum(x: Any, *, out: Any, pool: Any = None, accumulate: bool = False) -> None:
    """y[k] = sum_m x[m,k]; the op's definition is in kernels/ops/."""
    partial, chunks = column_sums("column_sum", 1, x, columns=out.size, pool=pool)
    _kernels.launch("of_columns", *cover(out.size, 1), partial, out, chunks, out.size, accumulate)


def column_totals(kernel: str, quantities: int, *arrays: Any, out: Any, pool: Any) -> None:
    """out (quantities, C) in float64."""
    partial, chunks = column_sums(kernel, quantities, *arrays, columns=out.shape[1], pool=pool)
    _kernels.launch("of_columns_double", *cover(out.size, 1), partial, out, quantities, chunks, out.shape[1])


def rows_by(k: int, rows: int) -> tuple[int, int, bool]:
    """Grid, block, and whether a block or a warp works on a row of k numbers."""
    whole = k > LONG
    return min(rows if whole else -(-rows * 32 // BLOCK), WAVES), BLOCK, whole


def row_sum(x: Any, *, out: Any, pool: Any = None, divisor: int = 1) -> None:
    """y[m] = sum_k x[m,k] / divisor"""
    grid, block, whole = rows_by(x.shape[-1], out.size)
    _kernels.launch("row_sum", grid, block, x, out, out.size, x.shape[-1], divisor, whole)


def row_mean(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[m] = sum_k x[m,k] / K"""
    row_sum(x, out=out, divisor=x.shape[-1])


def row_max(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[m] = max_k x[m,k]; a NaN wins."""
    grid, block, whole = rows_by(x.shape[-1], out.size)
    _kernels.launch("row_max", grid, block, x, out, out.size, x.shape[-1], whole)


def sum_of_squares(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[0] = sum_i x[i]^2"""
    pieces = -(-x.size // PIECE)
    partial = scratch(pool, x, (pieces,), np.float64)
    _kernels.launch("squares", min(pieces, WAVES), BLOCK, x, partial, x.size, PIECE)
    _kernels.launch("of_columns_double", 1, BLOCK, partial, out, 1, pieces, 1)


def ordered_sum(parts: Any, *, out: Any, pool: Any = None) -> None:
    """y[i] = ((parts[0,i] + parts[1,i]) + parts[2,i]) + ..."""
    _kernels.launch("ordered_sum", *cover(out.size, 1), parts, out, parts.shape[0], out.size)
