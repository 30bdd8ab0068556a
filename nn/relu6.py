"""ReLU6: the clipped rectifier, where PyTorch's weights expect it."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape
from ..kernels import ops
from .module import Module


class ReLU6(Module):
    """y = min(max(x, 0), 6), any shape."""

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = ops.relu6(x, pool=ctx.pool, backend=ctx.backend)
        return y, y

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return ops.relu6_dx(dy, saved, out=dy, backend=ctx.backend) if ctx.input_gradient else None
