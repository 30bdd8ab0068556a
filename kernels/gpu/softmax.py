"""Softmax of rows: a warp for each, or a block where rows are long."""

from __future__ import annotations

from typing import Any

from .launch import Source
from .reduction import rows_by

kernels = Source("softmax.cu")


def _rows(kernel: str, *arrays: Any, out: Any) -> None:
    k = out.shape[-1]
    rows = out.size // max(1, k)
    grid, block, whole = rows_by(k, rows)
    kernels.launch(kernel, grid, block, *arrays, out, rows, k, whole)


def softmax(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[m,j] = exp(x[m,j]) / sum_i exp(x[m,i])"""
    _rows("softmax", x, out=out)


def softmax_dx(dy: Any, y: Any, *, out: Any, pool: Any = None) -> None:
    """dx = y * (dy - sum_j dy[m,j] y[m,j])"""
    _rows("softmax_dx", dy, y, out=out)


def log_softmax(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[m,j] = x[m,j] - log sum_i exp(x[m,i])"""
    _rows("log_softmax", x, out=out)


def log_softmax_dx(dy: Any, y: Any, *, out: Any, pool: Any = None) -> None:
    """dx = dy - exp(y) * sum_j dy[m,j]"""
    _rows("log_softmax_dx", dy, y, out=out)
