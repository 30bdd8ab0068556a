"""Linear: a GEMM with its bias and activation in the epilogue.

The activation is part of the layer because the epilogue sees the result while it is still in registers; as a layer of its
own it would read and write it again.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape, prod, some
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class Linear(Module):
    """Dense layer, of one vector or of each step of a sequence.

        y[n,k] = act( sum_c x[n,c] * weight[k,c] + bias[k] )                  x[n,t,c] and y[n,t,k] alike

    x: (N, C) or (N, T, C)   weight: (K, C)   bias: (K,)   ->   y: (N, K) or (N, T, K).
    Starts uniform in +-1/sqrt(C), as torch.nn.Linear.
    """

    def __init__(self, features: int, *, bias: bool = True, activation: str | None = None):
        self.features = some("features", features)
        self.bias = bias
        self.activation = activation

    def specs(self, shape: Shape) -> list[Spec]:
        width = self._checked(shape)[-1]
        start = Init("uniform", 1 / sqrt(width))
        weight = Spec("weight", (self.features, width), start)
        return [weight, Spec("bias", (self.features,), start, decay=False)] if self.bias else [weight]

    def out_shape(self, shape: Shape) -> Shape:
        return (*self._checked(shape)[:-1], self.features)

    def _checked(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2) or shape[-1] < 1:
            raise UsageError(
                f"Linear({self.features}) takes samples of shape (C,) or (T, C), not {shape}", "put Flatten() before it"
            )
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = project(x, p["weight"], p.get("bias"), ctx, self.activation)
        return y, (x, y if self.activation else None)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, y = saved
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        return project_back(x, dy, p["weight"], g["weight"], g.get("bias"), ctx)


def project(x: Any, weight: Any, bias: Any, ctx: Context, activation: str | None = None) -> Any:
    """y[...,k] = act( sum_c x[...,c] * weight[k,c] + bias[k] ): one GEMM, whatever the leading axes are."""
    y = ops.gemm(rows(x), weight, trans_b=True, bias=bias, activation=activation, pool=ctx.pool, backend=ctx.backend)
    return y.reshape(*x.shape[:-1], len(weight))


def project_back(x: Any, dy: Any, weight: Any, into_weight: Any, into_bias: Any, ctx: Context) -> Any:
    """dx, or None where ctx.input_gradient is False; the gradients by weight and bias are added `into` theirs."""
    place = {"pool": ctx.pool, "backend": ctx.backend}
    ops.gemm(rows(dy), rows(x), trans_a=True, beta=1.0, out=into_weight, **place)
    if into_bias is not None:
        ops.column_sum(dy, accumulate=True, out=into_bias, **place)
    return ops.gemm(rows(dy), weight, **place).reshape(x.shape) if ctx.input_gradient else None


def rows(x: Any) -> Any:
    """(..., C) as a matrix."""
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])
