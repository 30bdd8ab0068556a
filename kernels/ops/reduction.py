"""Sums whose order is part of the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda parts: prod(parts.shape))
def ordered_sum(parts: Any) -> tuple[Like, ...]:
    """Sum in rank order, one rounding per rank: y[i] = ((parts[0,i] + parts[1,i]) + parts[2,i]) + ...

    parts: (P, n) -> y: (n,)
    """
    need(len(parts.shape) == 2 and parts.shape[0] >= 1, lambda: f"ordered_sum: parts {parts.shape} must be (P, n)")
    return (Like(parts.shape[1:], parts.dtype),)


@op(flops=lambda x: 2 * prod(x.shape))
def sum_of_squares(x: Any) -> tuple[Like, ...]:
    """y[0] = sum_i x[i]^2 in float64, in an order that the shape decides: the square of a gradient's norm.

    x: any shape -> y: (1,) float64
    """
    return (Like((1,), np.dtype(np.float64)),)


def of_rows(name: str, x: Any) -> tuple[Like, ...]:
    need(len(x.shape) >= 1 and x.shape[-1] >= 1, lambda: f"{name}: x {x.shape} must be (..., K) with K >= 1")
    return (Like(x.shape[:-1], x.dtype),)


@op(flops=lambda x: prod(x.shape))
def row_sum(x: Any) -> tuple[Like, ...]:
    """y[m] = sum_k x[m,k], in float64 and rounded once.   x: (..., K) -> y: (...)   (over the other axes: column_sum)"""
    return of_rows("row_sum", x)


@op(flops=lambda x: prod(x.shape))
def row_mean(x: Any) -> tuple[Like, ...]:
    """y[m] = sum_k x[m,k] / K, in float64 and rounded once.   x: (..., K) -> y: (...)"""
    return of_rows("row_mean", x)


@op(flops=lambda x: prod(x.shape))
def row_max(x: Any) -> tuple[Like, ...]:
    """y[m] = max_k x[m,k]; a NaN wins.   x: (..., K) -> y: (...)"""
    return of_rows("row_max", x)
