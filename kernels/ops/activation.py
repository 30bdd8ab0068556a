"""Element-wise functions and their gradients, from the output where the output tells enough."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda x: prod(x.shape))
def relu(x: Any) -> tuple[Like, ...]:
    """y = max(x, 0); a NaN stays a NaN."""
    return (Like(x.shape, x.dtype),)


@op(flops=lambda dy, y: prod(dy.shape))
def relu_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of relu from its output: dx = dy where y > 0, else 0. out may be dy itself."""
    need(dy.shape == y.shape, lambda: f"relu_dx: dy {dy.shape}, y {y.shape}")
    return (Like(dy.shape, dy.dtype),)
