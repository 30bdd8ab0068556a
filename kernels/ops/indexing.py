"""Rows of a table by their numbers, and parts of the last axis: data movement without arithmetic, and its adjoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import need


def indices(name: str, rows: Any) -> None:
    need(rows.dtype == np.int64, lambda: f"{name}: rows are {rows.dtype}; need int64")


@op(flops=lambda table, rows: 0)
def gather(table: Any, rows: Any) -> tuple[Like, ...]:
    """Rows of a table: y[i,c] = table[rows[i], c].

    table: (V, C)   rows: (...) int64   ->   y: (..., C).   A row outside [0, V) is a NaN and is never read.
    """
    indices("gather", rows)
    need(len(table.shape) == 2, lambda: f"gather: table {table.shape} must be (V, C)")
    return (Like((*rows.shape, table.shape[1]), table.dtype),)


@op(flops=lambda dy, *_, **__: prod(dy.shape))
def scatter_add(dy: Any, rows: Any, *, size: int, accumulate: bool = False) -> tuple[Like, ...]:
    """The adjoint of gather: y[v,c] = sum_{i: rows[i] = v} dy[i,c], in the order of i, whatever the number of threads.

    dy: (..., C)   rows: (...) int64   ->   y: (size, C).   A row outside [0, size) is left out.
    """
    indices("scatter_add", rows)
    need(dy.shape[:-1] == rows.shape, lambda: f"scatter_add: dy {dy.shape} for rows {rows.shape}")
    return (Like((size, dy.shape[-1]), dy.dtype),)


@op(flops=lambda *arrays: 0)
def concat(*arrays: Any) -> tuple[Like, ...]:
    """Arrays side by side along the last axis: y[m,:] = (a[m,:], b[m,:], ...).

    a: (..., A), b: (..., B), ...   ->   y: (..., A + B + ...)
    """
    need(len(arrays) >= 1, lambda: "concat: there is nothing to join")
    first, shapes = arrays[0], [a.shape for a in arrays]
    same = all(a.shape[:-1] == first.shape[:-1] and len(a.shape) >= 1 for a in arrays)
    need(same, lambda: f"concat: shapes {shapes} differ in more than the last axis")
    return (Like((*first.shape[:-1], sum(s[-1] for s in shapes)), first.dtype),)


@op(flops=lambda x, sizes: 0)
def split(x: Any, sizes: Shape) -> tuple[Like, ...]:
    """The adjoint of concat: parts of so many numbers along the last axis.

    x: (..., K)   sizes: positive numbers with the sum K   ->   as many arrays (..., size)
    """
    need(len(x.shape) >= 1 and sum(sizes) == x.shape[-1], lambda: f"split: sizes {sizes} of the last axis of {x.shape}")
    need(len(sizes) >= 1 and min(sizes) >= 0, lambda: f"split: sizes {sizes} must not be negative")
    return tuple(Like((*x.shape[:-1], size), x.dtype) for size in sizes)
