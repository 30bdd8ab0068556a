"""Sums whose order is part of the result."""

from __future__ import annotations

from typing import Any

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
