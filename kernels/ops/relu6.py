"""The clipped rectifier of MobileNetV2."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda x: 2 * prod(x.shape))
def relu6(x: Any) -> tuple[Like, ...]:
    """y = min(max(x, 0), 6); a NaN stays a NaN.

    After Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10" (unpublished).
    """
    return (Like(x.shape, x.dtype),)


@op(flops=lambda dy, y: 2 * prod(dy.shape))
def relu6_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of relu6 from its output: dx = dy where 0 < y < 6, else 0. out may be dy itself."""
    need(dy.shape == y.shape, lambda: f"relu6_dx: dy {dy.shape}, y {y.shape}")
    return (Like(dy.shape, dy.dtype),)
