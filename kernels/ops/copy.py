"""Copies: what several owners may each overwrite has to exist several times."""

from __future__ import annotations

from typing import Any

from ..op import Like, op
from .rule import need


@op(flops=lambda x: 0)
def copy(x: Any) -> tuple[Like, ...]:
    """y = x, in memory of its own."""
    return (Like(x.shape, x.dtype),)


@op(flops=lambda x: 0)
def last_step(x: Any) -> tuple[Like, ...]:
    """The last time step: y[n,c] = x[n,T-1,c].   x: (N, T, C) -> y: (N, C)."""
    need(len(x.shape) == 3 and x.shape[1] > 0, lambda: f"last_step: x {x.shape} must be (N, T, C) with T >= 1")
    return (Like((x.shape[0], x.shape[2]), x.dtype),)


@op(flops=lambda dy, steps: 0)
def last_step_dx(dy: Any, steps: int) -> tuple[Like, ...]:
    """Gradient of last_step: dx[n,t,c] = dy[n,c] where t == T-1, else 0.   dy: (N, C), steps: T -> dx: (N, T, C)."""
    need(
        len(dy.shape) == 2 and steps > 0,
        lambda: f"last_step_dx: dy {dy.shape} must be (N, C), and {steps} steps at least 1",
    )
    return (Like((dy.shape[0], steps, dy.shape[1]), dy.dtype),)
