"""Convolution: what all convolutions have in common, which is everything but the ops they call."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Pair, Shape, Window, prod, some
from ..core.spec import Init, Spec
from ..kernels import ops
from .ending import NOTHING, Ending, trained
from .module import Module


class Convolution(Module):
    """A convolution over `rank` axes with bias and activation in its epilogue; a kind of it says `convolve` and `gradients`."""

    rank: ClassVar[int]

    def __init__(
        self,
        channels: int,
        kernel: int | Shape,
        *,
        stride: int | Shape = 1,
        padding: int | Shape | tuple[Pair, ...] | str = 0,
        dilation: int | Shape = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str | None = None,
    ):
        self.channels = some("channels", channels)
        self.window = Window.of(kernel, stride, padding, dilation, self.rank)
        self.groups = some("groups", groups)
        self.bias = bias
        self.activation = trained(type(self).__name__, activation)

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        inputs = shape[-1] // self.groups
        start = Init("uniform", 1 / sqrt(prod(self.window.kernel) * inputs))
        weight = Spec("weight", (self.channels, *self.window.kernel, inputs), start)
        return [weight, Spec("bias", (self.channels,), start, decay=False)] if self.bias else [weight]

    def out_shape(self, shape: Shape) -> Shape:
        self._check(shape)
        return (*self.window.out(*shape[:-1]), self.channels)

    def convolve(self, x: Any, w: Any, **how: Any) -> Any:
        """The op, with groups, bias, activation and place in `how`."""
        raise NotImplementedError

    def gradients(self, x: Any, w: Any, dw: Any, dy: Any, by_input: bool, **how: Any) -> Any:
        """Adds into dw; returns dx if by_input. `how`: groups and place."""
        raise NotImplementedError

    def _check(self, shape: Shape) -> None:
        name = type(self).__name__
        if len(shape) != self.rank + 1 or shape[-1] < 1:
            axes = ("T", "H, W", "D, H, W")[self.rank - 1]
            raise UsageError(f"{name} takes samples of shape ({axes}, C), not {shape}")
        if shape[-1] % self.groups or self.channels % self.groups:
            raise UsageError(
                f"{name}: {shape[-1]} input and {self.channels} output channels are not multiples of {self.groups} groups"
            )

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = self.convolve(
            x,
            p["weight"],
            groups=self.groups,
            bias=p.get("bias"),
            activation=self.activation,
            pool=ctx.pool,
            backend=ctx.backend,
        )
        return y, (x, y if self.activation else None)

    def infer(self, p: Any, x: Any, ctx: Context, then: Ending = NOTHING) -> Any:
        ending = Ending(bias=p.get("bias"), activation=self.activation).then(then)
        if ending is None or not then.within(self.carries):
            return super().infer(p, x, ctx, then)
        return self.convolve(x, p["weight"], groups=self.groups, pool=ctx.pool, backend=ctx.backend, **ending.given())

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, y = saved
        how = {"groups": self.groups, "pool": ctx.pool, "backend": ctx.backend}
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        if self.bias:
            ops.column_sum(dy, accumulate=True, out=g["bias"], pool=ctx.pool, backend=ctx.backend)
        return self.gradients(x, p["weight"], g["weight"], dy, ctx.input_gradient, **how)
