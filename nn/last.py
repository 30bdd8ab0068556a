"""Last: of a sequence, only where it ends."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..kernels import ops
from .module import Module


class Last(Module):
    """The last time step: (N, T, C) -> (N, C)."""

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[0] < 1:
            raise UsageError(f"Last takes samples of shape (T, C) with T >= 1, not {shape}")
        return shape[1:]

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return ops.last_step(x, pool=ctx.pool, backend=ctx.backend), x.shape[1]

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return ops.last_step_dx(dy, saved, pool=ctx.pool, backend=ctx.backend) if ctx.input_gradient else None
