"""Concat: branches side by side. Backward splits the gradient into arrays that each branch may overwrite."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Spec
from ..kernels import ops
from .ending import NOTHING, Ending
from .module import Module


class Concat(Module):
    """y = [branch0(x), branch1(x), ...] over the last axis; (..., C) -> (..., C0 + C1 + ...).

    Children are named "0", "1", ...   UsageError where the branches differ before the last axis.
    After Szegedy et al. 2015, "Going deeper with convolutions" (CVPR).
    """

    def __init__(self, *branches: Module):
        if len(branches) < 2:
            raise UsageError(f"Concat of {len(branches)} branches joins nothing", "give two or more")
        self.branches = branches

    def children(self) -> list[tuple[str, Module]]:
        return [(str(i), branch) for i, branch in enumerate(self.branches)]

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        return [spec.under(name) for name, branch in self.children() for spec in branch.specs(shape)]

    def out_shape(self, shape: Shape) -> Shape:
        outs = [branch.out_shape(shape) for branch in self.branches]
        if len({out[:-1] for out in outs}) > 1:
            raise UsageError(f"Concat: the branches make {outs} of {shape}, which differ before the last axis")
        return (*outs[0][:-1], sum(out[-1] for out in outs))

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        parts, saved = [], []
        for name, branch in self.children():
            y, kept = branch.forward(p.get(name, {}), x, ctx.at(name))
            parts.append(y)
            saved.append(kept)
        y = ops.concat(*parts, pool=ctx.pool, backend=ctx.backend)
        return y, (tuple(part.shape[-1] for part in parts), saved)

    def infer(self, p: Any, x: Any, ctx: Context, then: Ending = NOTHING) -> Any:
        parts = [branch.infer(p.get(name, {}), x, ctx.at(name)) for name, branch in self.children()]
        return then.applied(ops.concat(*parts, pool=ctx.pool, backend=ctx.backend), ctx)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        sizes, kept = saved
        parts = ops.split(dy, sizes, pool=ctx.pool, backend=ctx.backend)
        dx = None
        for (name, branch), keep, part in zip(self.children(), kept, parts, strict=True):
            inner = ctx.at(name, ctx.input_gradient)
            more = branch.backward(p.get(name, {}), g.get(name, {}), keep, part, inner)
            dx = more if dx is None else ops.add(dx, more, out=dx, backend=ctx.backend)
        return dx
