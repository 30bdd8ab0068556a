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
    """y[0] = sum over i of x[i]^2, in float64, in an order that depends on the length alone.

    x: (n,) -> y: (1,) float64
    """
    need(len(x.shape) == 1, lambda: f"sum_of_squares: x {x.shape} must be flat")
    return (Like((1,), np.dtype(np.float64)),)
