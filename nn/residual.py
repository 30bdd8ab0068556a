"""Residual: a body beside a shortcut, joined by a sum.

Both branches receive the same gradient and either may overwrite it, so the shortcut gets a copy from the pool.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Spec
from ..kernels import ops
from .ending import NOTHING, Ending, trained
from .module import Module


class Residual(Module):
    """y = act( body(x) + shortcut(x) ); without a shortcut, act( body(x) + x ).

    activation: None or "relu".   Children are named "body" and "shortcut".   UsageError where the two shapes differ.
    After He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition" (CVPR).
    """

    def __init__(self, body: Module, shortcut: Module | None = None, activation: str | None = None):
        self.body, self.shortcut, self.activation = body, shortcut, trained("Residual", activation)

    def children(self) -> list[tuple[str, Module]]:
        return [("body", self.body), *([("shortcut", self.shortcut)] if self.shortcut else [])]

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        return [spec.under(name) for name, branch in self.children() for spec in branch.specs(shape)]

    def out_shape(self, shape: Shape) -> Shape:
        out = self.body.out_shape(shape)
        beside = self.shortcut.out_shape(shape) if self.shortcut else shape
        if out != beside:
            raise UsageError(
                f"Residual: the body makes {out} of {shape}, the shortcut {beside}",
                "give a shortcut of the body's stride and channels, such as Conv2d(channels, 1, stride=stride)",
            )
        return out

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        inner, kept = self.body.forward(p.get("body", {}), x, ctx.at("body"))
        beside, kept_beside = x, None
        if self.shortcut:
            beside, kept_beside = self.shortcut.forward(p.get("shortcut", {}), x, ctx.at("shortcut"))
        y = ops.add(inner, beside, pool=ctx.pool, backend=ctx.backend)
        if self.activation:
            y = ops.relu(y, out=y, backend=ctx.backend)
        return y, (kept, kept_beside, y if self.activation else None)

    def infer(self, p: Any, x: Any, ctx: Context, then: Ending = NOTHING) -> Any:
        beside = self.shortcut.infer(p.get("shortcut", {}), x, ctx.at("shortcut")) if self.shortcut else x
        y = self.body.infer(p.get("body", {}), x, ctx.at("body"), Ending(residual=beside, activation=self.activation))
        return then.applied(y, ctx)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        kept, kept_beside, y = saved
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        beside = ops.copy(dy, pool=ctx.pool, backend=ctx.backend) if self.shortcut or ctx.input_gradient else None
        dx = self.body.backward(p.get("body", {}), g.get("body", {}), kept, dy, ctx.at("body", ctx.input_gradient))
        if self.shortcut:
            inner = ctx.at("shortcut", ctx.input_gradient)
            beside = self.shortcut.backward(p.get("shortcut", {}), g.get("shortcut", {}), kept_beside, beside, inner)
        return ops.add(dx, beside, out=dx, backend=ctx.backend) if ctx.input_gradient else None
