"""Pooling: the maximum remembers where it was, so that backward is a scatter and never compares floats again."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Pair, Shape, Window
from ..kernels import ops
from .module import Module


class MaxPool2d(Module):
    """Maximum over a window; x: (N, H, W, C) -> y: (N, P, Q, C). The stride is the kernel unless given."""

    def __init__(
        self,
        kernel: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] = 0,
        dilation: int | Pair = 1,
    ):
        self.window = Window.of(kernel, kernel if stride is None else stride, padding, dilation)

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"MaxPool2d takes samples of shape (H, W, C), not {shape}")
        return (*self.window.out(shape[0], shape[1]), shape[2])

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y, argmax = ops.max_pool2d(x, self.window, pool=ctx.pool, backend=ctx.backend)
        return y, (argmax, x.shape[1:3])

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        argmax, size = saved
        return ops.max_pool2d_dx(dy, argmax, size, pool=ctx.pool, backend=ctx.backend) if ctx.input_gradient else None
