"""Rows of a table by their numbers, and parts of the last axis.

The adjoint of a look-up adds in the order of the samples, so there are no atomic sums: the places are sorted by row first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import Shape
from .launch import Source, cover

kernels = Source("indexing.cu")


def gather(table: Any, rows: Any, *, out: Any, pool: Any = None) -> None:
    """y[i,c] = table[rows[i], c]; a NaN where there is no such row."""
    kernels.launch("gather", *cover(out.size, 1), table, rows, out, out.size, table.shape[1], len(table))


def scatter_add(dy: Any, rows: Any, *, size: int, out: Any, pool: Any = None, accumulate: bool = False) -> None:
    """y[v,c] = sum_{i: rows[i] = v} dy[i,c], in the order of i."""
    flat = rows.reshape(-1)
    inside = np.where((flat >= 0) & (flat < size), flat, size)  # the others stand behind the last row
    order = np.argsort(inside, kind="stable")
    starts = np.searchsorted(inside[order], np.arange(size + 1, like=flat))
    kernels.launch("scatter_add", *cover(out.size, 1), dy, order, starts, out, out.size, out.shape[1], accumulate)


def concat(*arrays: Any, out: Any, pool: Any = None) -> None:
    """y[m,:] = (a[m,:], b[m,:], ...)"""
    at = 0
    for a in arrays:
        _part(a, 0, out, at, a.shape[-1])
        at += a.shape[-1]


def split(x: Any, sizes: Shape, *, out: Any, pool: Any = None) -> None:
    """The adjoint of concat."""
    at = 0
    for part, size in zip(out if isinstance(out, tuple) else (out,), sizes, strict=True):
        _part(x, at, part, 0, size)
        at += size


def _part(x: Any, x_from: int, y: Any, y_from: int, width: int) -> None:
    rows = x.size // max(1, x.shape[-1])
    places = x.shape[-1], x_from, y.shape[-1], y_from
    kernels.launch("part", *cover(rows * width, 1), x, y, rows, width, *places)
