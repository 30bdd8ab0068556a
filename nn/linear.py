"""Linear: a GEMM with its bias and activation in the epilogue.

The activation is part of the layer because the epilogue sees the result while it is still in registers; as a layer of its
own it would read and write it again.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class Linear(Module):
    """Dense layer.

        y[n,k] = act( sum_c x[n,c] * weight[k,c] + bias[k] )

    x: (N, C)   weight: (K, C)   bias: (K,)   ->   y: (N, K).   Starts uniform in +-1/sqrt(C), as torch.nn.Linear.
    """

    def __init__(self, features: int, *, bias: bool = True, activation: str | None = None):
        self.features = features
        self.bias = bias
        self.activation = activation

    def specs(self, shape: Shape) -> list[Spec]:
        (width,) = self._checked(shape)
        start = Init("uniform", 1 / sqrt(width))
        weight = Spec("weight", (self.features, width), start)
        return [weight, Spec("bias", (self.features,), start, decay=False)] if self.bias else [weight]

    def out_shape(self, shape: Shape) -> Shape:
        self._checked(shape)
        return (self.features,)

    def _checked(self, shape: Shape) -> Shape:
        if len(shape) != 1 or shape[0] < 1:
            raise UsageError(f"Linear({self.features}) takes samples of shape (C,), not {shape}", "put Flatten() before it")
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        y = ops.gemm(
            x,
            p["weight"],
            trans_b=True,
            bias=p.get("bias"),
            activation=self.activation,
            pool=ctx.pool,
            backend=ctx.backend,
        )
        return y, (x, y if self.activation else None)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, y = saved
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        ops.gemm(dy, x, trans_a=True, accumulate=True, out=g["weight"], pool=ctx.pool, backend=ctx.backend)
        if self.bias:
            ops.column_sum(dy, accumulate=True, out=g["bias"], pool=ctx.pool, backend=ctx.backend)
        return ops.gemm(dy, p["weight"], pool=ctx.pool, backend=ctx.backend) if ctx.input_gradient else None
