"""Softmax and its logarithm over the last axis, and their gradients from the output. A gradient's out may be dy itself."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


def rows(name: str, a: Any, b: Any) -> tuple[Like, ...]:
    need(a.shape == b.shape, lambda: f"{name}: shapes {a.shape} and {b.shape} differ")
    need(len(a.shape) >= 1 and a.shape[-1] >= 1, lambda: f"{name}: {a.shape} must be (..., K) with K >= 1")
    return (Like(a.shape, a.dtype),)


@op(flops=lambda x: 22 * prod(x.shape))
def softmax(x: Any) -> tuple[Like, ...]:
    """y[m,k] = exp(x[m,k]) / sum_j exp(x[m,j]).   Stable: the row maximum is subtracted."""
    return rows("softmax", x, x)


@op(flops=lambda dy, y: 4 * prod(dy.shape))
def softmax_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of softmax from its output: dx[m,k] = y[m,k] * ( dy[m,k] - sum_j dy[m,j] * y[m,j] )"""
    return rows("softmax_dx", dy, y)


@op(flops=lambda x: 22 * prod(x.shape))
def log_softmax(x: Any) -> tuple[Like, ...]:
    """y[m,k] = x[m,k] - log( sum_j exp(x[m,j]) ).   Stable: the row maximum is subtracted."""
    return rows("log_softmax", x, x)


@op(flops=lambda dy, y: 23 * prod(dy.shape))
def log_softmax_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of log_softmax from its output: dx[m,k] = dy[m,k] - exp(y[m,k]) * sum_j dy[m,j]"""
    return rows("log_softmax_dx", dy, y)
