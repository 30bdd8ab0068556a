"""Pooling: the maximum remembers where it was, so that backward is a scatter and never compares floats again.

A mean over everything is a mean over one window, so it has no op of its own.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Pair, Shape, Window, each, prod
from ..kernels import ops
from .module import Module


class MaxPool2d(Module):
    """Maximum over a window; x: (N, H, W, C) -> y: (N, P, Q, C). The stride is the kernel unless given.

    stash: the name under which a MaxUnpool2d further down the same list finds where the maxima were.
    """

    def __init__(
        self,
        kernel: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] = 0,
        dilation: int | Pair = 1,
        stash: str | None = None,
    ):
        self.window = Window.of(kernel, kernel if stride is None else stride, padding, dilation)
        self.stash = stash

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"MaxPool2d takes samples of shape (H, W, C), not {shape}")
        return (*self.window.out(shape[0], shape[1]), shape[2])

    def puts(self, shape: Shape) -> dict[str, Shape]:
        return {self.stash: self.out_shape(shape)} if self.stash else {}

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y, argmax = ops.max_pool2d(x, self.window, pool=ctx.pool, backend=ctx.backend)
        if self.stash:
            ctx.stash[self.stash] = argmax
        return y, (argmax, x.shape[1:3])

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        argmax, size = saved
        return ops.max_pool2d_dx(dy, argmax, size, pool=ctx.pool, backend=ctx.backend) if ctx.input_gradient else None


class MaxUnpool2d(Module):
    """Puts every value where the MaxPool2d with this `stash` found its maximum, and zeros elsewhere.

    x: (N, P, Q, C) -> y: (N, H, W, C), H = stride*(P-1) + R - top - bottom + output_padding. kernel, stride and padding are
    those of the MaxPool2d; output_padding: the rows and columns of its input beyond the smallest that gives (P, Q). Values
    of overlapping windows with one maximum add, so this is the adjoint of reading the maxima.
    """

    def __init__(
        self,
        kernel: int | Pair,
        *,
        stash: str,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] = 0,
        output_padding: int | Pair = 0,
    ):
        self.window = Window.of(kernel, kernel if stride is None else stride, padding)
        self.stash = stash
        self.output_padding = each(output_padding, 2)

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"MaxUnpool2d takes samples of shape (H, W, C), not {shape}")
        return (*self.window.inputs(shape[:2], self.output_padding), shape[2])

    def takes(self, shape: Shape) -> dict[str, Shape]:
        return {self.stash: shape}

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        argmax, size = ctx.stash.pop(self.stash), self.out_shape(x.shape[1:])[:2]
        return ops.max_pool2d_dx(x, argmax, size, pool=ctx.pool, backend=ctx.backend), argmax

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return ops.max_unpool2d_dx(dy, saved, pool=ctx.pool, backend=ctx.backend) if ctx.input_gradient else None


class AvgPool2d(Module):
    """Mean over a window; x: (N, H, W, C) -> y: (N, P, Q, C). The stride is the kernel unless given.

    count_include_pad: whether the zeros of the padding count as elements of the mean, as in torch.nn.AvgPool2d.
    """

    def __init__(
        self,
        kernel: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: int | Pair | tuple[Pair, Pair] = 0,
        count_include_pad: bool = True,
    ):
        self.window = Window.of(kernel, kernel if stride is None else stride, padding)
        self.count_include_pad = count_include_pad

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"AvgPool2d takes samples of shape (H, W, C), not {shape}")
        return (*self.window.out(shape[0], shape[1]), shape[2])

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        how = {"count_include_pad": self.count_include_pad, "pool": ctx.pool, "backend": ctx.backend}
        return ops.avg_pool2d(x, self.window, **how), x.shape[1:3]

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        how = {"count_include_pad": self.count_include_pad, "pool": ctx.pool, "backend": ctx.backend}
        return ops.avg_pool2d_dx(dy, self.window, saved, **how) if ctx.input_gradient else None


class GlobalAvgPool(Module):
    """Mean over all axes but the first and the last; x: (N, ..., C) -> y: (N, C)."""

    def out_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise UsageError(f"GlobalAvgPool takes samples of shape (..., C), not {shape}")
        return shape[-1:]

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        pixels = prod(x.shape[1:-1])
        column = x.reshape(x.shape[0], pixels, 1, x.shape[-1])
        y = ops.avg_pool2d(column, Window((pixels, 1)), pool=ctx.pool, backend=ctx.backend)
        return y.reshape(x.shape[0], x.shape[-1]), x.shape

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        if not ctx.input_gradient:
            return None
        pixels, dy = prod(saved[1:-1]), dy.reshape(saved[0], 1, 1, saved[-1])
        dx = ops.avg_pool2d_dx(dy, Window((pixels, 1)), (pixels, 1), pool=ctx.pool, backend=ctx.backend)
        return dx.reshape(saved)
