"""A new layer: what it holds, what it computes, its gradient by hand, and the check that the gradient is right.

    y = x * s,    s = sigmoid(x W' + b)          a gate: each feature lets itself pass as far as all of them together say

A layer keeps nothing between calls: weights come in as p, and what backward needs goes out as `saved`. So it may be in several
micro-batches, on several ranks and in any strategy at once, without knowing it.
"""

from typing import Any

import numpy as np

from shoal.core.context import Context
from shoal.core.shape import Shape
from shoal.core.spec import Spec
from shoal.kernels import ops
from shoal.nn import Linear, Module, Replica


class Gate(Module):
    """x: (N, C) -> y: (N, C)"""

    def specs(self, shape: Shape) -> list[Spec]:
        return [spec.under("linear") for spec in Linear(*shape).specs(shape)]

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        a, inner = Linear(x.shape[-1]).forward(p["linear"], x, ctx.at("linear"))
        s = ops.sigmoid(a, pool=ctx.pool, backend=ctx.backend)
        return ops.multiply(x, s, pool=ctx.pool, backend=ctx.backend), (x, s, inner)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, s, inner = saved
        place = {"pool": ctx.pool, "backend": ctx.backend}
        da = ops.sigmoid_dx(ops.multiply(dy, x, **place), s, **place)
        through_gate = Linear(x.shape[-1]).backward(p["linear"], g["linear"], inner, da, ctx.at("linear"))
        return ops.add(ops.multiply(dy, s, **place), through_gate, **place)


layer, rng = Gate(), np.random.default_rng(0)
copy = Replica(layer, (5,), "float64").initialise(seed=1)
x, dy = rng.standard_normal((2, 4, 5))


def scalar() -> float:
    """L = sum(dy * y), whose gradient by y is dy."""
    return float((dy * layer.forward(copy.p, x, Context(training=True))[0]).sum())


def slope(a: np.ndarray, i: Any, h: float = 1e-6) -> float:
    """dL/da[i] by central differences."""
    kept = a[i]
    a[i] = kept + h
    above = scalar()
    a[i] = kept - h
    below, a[i] = scalar(), kept
    return (above - below) / (2 * h)


_, saved = layer.forward(copy.p, x, Context(training=True))
dx = layer.backward(copy.p, copy.g, saved, dy, Context(training=True))
for name, a, gradient in [("x", x, dx), *((n, copy.weights[n], copy.gradients[n]) for n in copy.weights.layout.specs)]:
    worst = max(abs(slope(a, i) - gradient[i]) for i in np.ndindex(a.shape))
    print(f"{name:14} {a.shape!s:8} largest difference from finite differences {worst:.0e}")
