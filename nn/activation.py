"""Activations as layers of their own, for where no epilogue can carry them."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape
from ..kernels import ops
from .module import Module


class ReLU(Module):
    """y = max(x, 0), any shape."""

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = ops.relu(x, pool=ctx.pool, backend=ctx.backend)
        return y, y

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return ops.relu_dx(dy, saved, out=dy, backend=ctx.backend) if ctx.input_gradient else None
