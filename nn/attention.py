"""Attention: one GEMM for queries, keys and values, the heads as one op, one GEMM behind them.

The three projections lie in one matrix, as in PyTorch: they read the same input, so they are one product. A mask of valid
steps is an argument of the op only; a layer is given arrays without any, so it takes all steps as valid.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Init, Spec
from ..kernels import ops
from .linear import project, project_back
from .module import Module


class Attention(Module):
    """Multi-head self-attention, as torch.nn.MultiheadAttention with batch_first.

        q, k, v = x in_weight' + in_bias              y = attention(q, k, v) out_weight' + out_bias

    x: (N, T, C), C a multiple of heads   in_weight: (3C, C)   in_bias: (3C,)   out_weight: (C, C)   out_bias: (C,)
    ->   y: (N, T, C).   causal: a step sees itself and what came before.   kernels/ops/attention.py has the formula.
    Starts as PyTorch's: in_weight by Glorot and Bengio's rule over (3C, C), out_weight as a Linear, biases 0.
    """

    def __init__(self, heads: int, *, causal: bool = False, bias: bool = True):
        self.heads = heads
        self.causal = causal
        self.bias = bias

    def specs(self, shape: Shape) -> list[Spec]:
        _, width = self.out_shape(shape)
        specs = []
        for name, rows, scale in (("in", 3 * width, sqrt(6 / (4 * width))), ("out", width, 1 / sqrt(width))):
            specs.append(Spec(f"{name}_weight", (rows, width), Init("uniform", scale)))
            specs += [Spec(f"{name}_bias", (rows,), decay=False)] if self.bias else []
        return specs

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or min(shape) < 1 or self.heads < 1 or shape[1] % self.heads:
            raise UsageError(
                f"Attention({self.heads}) takes samples of shape (T, C) with C a multiple of {self.heads}, not {shape}"
            )
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        qkv = project(x, p["in_weight"], p.get("in_bias"), ctx)
        seen, shares = ops.attention(qkv, heads=self.heads, causal=self.causal, pool=ctx.pool, backend=ctx.backend)
        return project(seen, p["out_weight"], p.get("out_bias"), ctx), (x, qkv, seen, shares)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, qkv, seen, shares = saved
        inside = replace(ctx, input_gradient=True)
        dy = project_back(seen, dy, p["out_weight"], g["out_weight"], g.get("out_bias"), inside)
        dqkv = ops.attention_dx(dy, qkv, shares, heads=self.heads, pool=ctx.pool, backend=ctx.backend)
        return project_back(x, dqkv, p["in_weight"], g["in_weight"], g.get("in_bias"), ctx)
