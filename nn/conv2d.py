"""Conv2d: a two-dimensional convolution, channels last, with bias and activation in its epilogue."""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Pair, Shape, Window
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class Conv2d(Module):
    """Cross-correlation over (H, W).

        y[n,p,q,k] = act( sum_{r,s,c} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c] * weight[k,r,s,c] + bias[k] )

    x: (N, H, W, C)   weight: (K, R, S, C/groups)   bias: (K,)   ->   y: (N, P, Q, K)
    padding: a number, a pair, ((top, bottom), (left, right)), or "same".   Starts as torch.nn.Conv2d.
    """

    def __init__(
        self,
        channels: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str | None = None,
    ):
        self.channels = channels
        self.window = Window.of(kernel, stride, padding, dilation)
        self.groups = groups
        self.bias = bias
        self.activation = activation

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        inputs = shape[2] // self.groups
        start = Init("uniform", 1 / sqrt(self.window.kernel[0] * self.window.kernel[1] * inputs))
        weight = Spec("weight", (self.channels, *self.window.kernel, inputs), start)
        return [weight, Spec("bias", (self.channels,), start, decay=False)] if self.bias else [weight]

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"Conv2d takes samples of shape (H, W, C), not {shape}")
        if shape[2] % self.groups or self.channels % self.groups:
            raise UsageError(
                f"Conv2d: {shape[2]} input and {self.channels} output channels are not multiples of {self.groups} groups"
            )
        return (*self.window.out(shape[0], shape[1]), self.channels)

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = ops.conv2d(
            x,
            p["weight"],
            self.window,
            groups=self.groups,
            bias=p.get("bias"),
            activation=self.activation,
            pool=ctx.pool,
            backend=ctx.backend,
        )
        return y, (x, y if self.activation else None)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, y = saved
        place = {"pool": ctx.pool, "backend": ctx.backend}
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        ops.conv2d_dw(x, dy, self.window, groups=self.groups, accumulate=True, out=g["weight"], **place)
        if self.bias:
            ops.column_sum(dy, accumulate=True, out=g["bias"], **place)
        if not ctx.input_gradient:
            return None
        return ops.conv2d_dx(dy, p["weight"], self.window, x.shape[1:3], groups=self.groups, **place)
