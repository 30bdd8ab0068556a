"""Sequential: a list of blocks. A model is one, and a partition of a model is a cut of its list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Spec
from .module import Module
from .stash import live


class Sequential(Module):
    """y = block[n-1]( ... block[1]( block[0](x) ) ).   Children are named "0", "1", ...

    tie: {"5.weight": "0.weight"} makes the first the same tensor as the second: one storage, gradients added.
    The strategies of mpi/ walk the blocks of a top-level Sequential themselves; nested ones are ordinary layers.
    """

    def __init__(self, *blocks: Module, tie: Mapping[str, str] | None = None):
        self.blocks = list(blocks)
        self.tie = dict(tie or {})

    def specs(self, shape: Shape) -> list[Spec]:
        live(self.blocks, shape)
        specs = []
        for i, block in enumerate(self.blocks):
            specs += [spec.under(str(i)) for spec in block.specs(shape)]
            shape = block.out_shape(shape)
        names = [spec.name for spec in specs]
        if unknown := set(self.tie) - set(names):
            raise UsageError(f"tie: there is no {', '.join(sorted(unknown))}", f"the weights are {', '.join(names)}")
        return [replace(spec, alias_of=self.tie.get(spec.name, spec.alias_of)) for spec in specs]

    def out_shape(self, shape: Shape) -> Shape:
        for block in self.blocks:
            shape = block.out_shape(shape)
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        saved = []
        for i, block in enumerate(self.blocks):
            x, kept = block.forward(child(p, i), x, ctx.at(str(i)))
            saved.append(kept)
        return x, saved

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        for i in reversed(range(len(self.blocks))):
            inner = ctx.at(str(i), input_gradient=ctx.input_gradient or i > 0)
            dy = self.blocks[i].backward(child(p, i), child(g, i), saved.pop(), dy, inner)
        return dy if ctx.input_gradient else None

    def children(self) -> list[tuple[str, Module]]:
        return [(str(i), block) for i, block in enumerate(self.blocks)]

    def __len__(self) -> int:
        return len(self.blocks)

    def __repr__(self) -> str:
        inside = "\n".join(f"  ({i}) {block!r}" for i, block in enumerate(self.blocks))
        return f"Sequential(\n{inside}\n)"


def child(views: Any, i: int) -> dict[str, Any]:
    """The views of child i; empty where it has no weights."""
    return views.get(str(i), {})
