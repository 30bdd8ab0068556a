"""Activations as layers of their own, for where no epilogue can carry them.

They differ in the function and in what its gradient is made from, so a layer is those three facts and a formula.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape
from ..kernels import ops
from ..kernels.op import Op
from .ending import Ending
from .module import Module


class Activation(Module):
    """y = function(x), any shape; gradient(dy, y) or gradient(dy, x) is dx."""

    function: Op
    gradient: Op
    from_output = False

    def hyper(self) -> dict[str, Any]:
        """What function and gradient are told besides arrays."""
        return {}

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = self.function(x, pool=ctx.pool, backend=ctx.backend, **self.hyper())
        return y, y if self.from_output else x

    def ending(self, p: Any) -> Ending | None:
        return Ending(activation=self.function.name) if self.function in (ops.relu, ops.gelu) else None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        if not ctx.input_gradient:
            return None
        return self.gradient(dy, saved, out=dy, pool=ctx.pool, backend=ctx.backend, **self.hyper())


class ReLU(Activation):
    """y = max(x, 0)"""

    function, gradient, from_output = ops.relu, ops.relu_dx, True


class ReLU6(Activation):
    """y = min(max(x, 0), 6)"""

    function, gradient, from_output = ops.relu6, ops.relu6_dx, True


class LeakyReLU(Activation):
    """y = x where x > 0, else slope * x"""

    function, gradient = ops.leaky_relu, ops.leaky_relu_dx

    def __init__(self, slope: float = 0.01):
        self.slope = slope

    def hyper(self) -> dict[str, Any]:
        return {"slope": self.slope}


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))"""

    function, gradient, from_output = ops.sigmoid, ops.sigmoid_dx, True


class Tanh(Activation):
    """y = tanh(x)"""

    function, gradient, from_output = ops.tanh, ops.tanh_dx, True


class Softplus(Activation):
    """y = log(1 + exp(x))"""

    function, gradient = ops.softplus, ops.softplus_dx


class SiLU(Activation):
    """y = x / (1 + exp(-x))"""

    function, gradient = ops.silu, ops.silu_dx


class GELU(Activation):
    """y = x * (1 + erf(x / sqrt(2))) / 2, or its form with tanh, which is cheaper and differs by about 1e-3."""

    def __init__(self, approximate: bool = False):
        self.approximate = approximate

    @property
    def function(self) -> Op:  # type: ignore[override]
        return ops.gelu_tanh if self.approximate else ops.gelu

    @property
    def gradient(self) -> Op:  # type: ignore[override]
        return ops.gelu_tanh_dx if self.approximate else ops.gelu_dx


class Softmax(Activation):
    """y[...,k] = exp(x[...,k]) / sum_j exp(x[...,j])"""

    function, gradient, from_output = ops.softmax, ops.softmax_dx, True


class LogSoftmax(Activation):
    """y[...,k] = x[...,k] - log( sum_j exp(x[...,j]) )"""

    function, gradient, from_output = ops.log_softmax, ops.log_softmax_dx, True
