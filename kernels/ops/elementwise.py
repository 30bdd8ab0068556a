"""Arithmetic of arrays of one shape; nothing is broadcast unasked, so what does not fit is an error and not a bigger result."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda a, b: prod(a.shape))
def add(a: Any, b: Any) -> tuple[Like, ...]:
    """y = a + b, element by element. out may be a or b."""
    need(a.shape == b.shape, lambda: f"add: a {a.shape}, b {b.shape}")
    return (Like(a.shape, a.dtype),)


@op(flops=lambda a, b: prod(a.shape))
def multiply(a: Any, b: Any) -> tuple[Like, ...]:
    """y = a * b, element by element. out may be a or b."""
    need(a.shape == b.shape, lambda: f"multiply: a {a.shape}, b {b.shape}")
    return (Like(a.shape, a.dtype),)


@op(flops=lambda x, s: prod(x.shape))
def scaled(x: Any, *, s: float) -> tuple[Like, ...]:
    """y = s * x, with s in x's precision. out may be x."""
    return (Like(x.shape, x.dtype),)


@op(flops=lambda x, bias: prod(x.shape))
def add_bias(x: Any, bias: Any) -> tuple[Like, ...]:
    """y[n,e] = x[n,e] + bias[e]: the same for every sample. out may be x.

    x: (N, ...)   bias: x's shape without N   ->   y like x
    """
    need(
        x.shape[1:] == bias.shape and len(x.shape) >= 1,
        lambda: f"add_bias: bias {bias.shape} for samples {x.shape[1:]}",
    )
    return (Like(x.shape, x.dtype),)
