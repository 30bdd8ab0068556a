"""Sequential: a list of blocks. A model is one, and a partition of a model is a cut of its list.

A part of the list keeps the numbers its blocks have in the whole, so names, random bits and checkpoints do not know of
the cut; and what is tied to a weight outside the part is borrowed: read here, trained where its owner is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Spec
from ..core.trace import span
from .module import Module
from .stash import live


class Sequential(Module):
    """y = block[n-1]( ... block[1]( block[0](x) ) ).   Children are named "0", "1", ...

    tie: {"5.weight": "0.weight"} makes the first the same tensor as the second: one storage, gradients added.
    model[2:5] is the part of blocks 2, 3 and 4, under these numbers, shared with the model.
    """

    def __init__(self, *blocks: Module, tie: Mapping[str, str] | None = None):
        self.blocks = list(blocks)
        self.tie = dict(tie or {})
        self.first, self.whole = 0, True

    def __getitem__(self, cut: slice) -> Sequential:
        start, stop, _ = cut.indices(len(self.blocks))
        part = Sequential(*self.blocks[start:stop], tie=self.tie)
        part.first, part.whole = self.first + start, False
        return part

    def specs(self, shape: Shape) -> list[Spec]:
        if self.whole:
            live(self.blocks, shape)
        specs = []
        for name, block in self.children():
            specs += [spec.under(name) for spec in block.specs(shape)]
            shape = block.out_shape(shape)
        owners = {spec.name for spec in specs}
        unknown = {*self.tie, *self.tie.values()} - owners
        if unknown and self.whole:
            raise UsageError(
                f"tie: there is no {', '.join(sorted(unknown))}", f"the weights are {', '.join(sorted(owners))}"
            )
        return [self._tied(spec, owners) for spec in specs]

    def _tied(self, spec: Spec, owners: set[str]) -> Spec:
        owner = self.tie.get(spec.name)
        if owner is None:
            return spec
        return replace(spec, alias_of=owner) if owner in owners else replace(spec, role="borrowed")

    def out_shape(self, shape: Shape) -> Shape:
        for block in self.blocks:
            shape = block.out_shape(shape)
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        saved = []
        for name, block in self.children():
            inner = ctx.at(name)
            with span(ctx.trace, "forward", "forward", inner.path, block.kind):
                x, kept = block.forward(p.get(name, {}), x, inner)
            saved.append(kept)
        return x, saved

    def backward(
        self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context, after: Callable[[int], None] | None = None
    ) -> Any:
        """after(i) is called when block i has added all its gradients, those of blocks above it being complete."""
        for i in reversed(range(len(self.blocks))):
            name = str(self.first + i)
            inner = ctx.at(name, input_gradient=ctx.input_gradient or i > 0)
            with span(ctx.trace, "backward", "backward", inner.path, self.blocks[i].kind):
                dy = self.blocks[i].backward(p.get(name, {}), g.get(name, {}), saved.pop(), dy, inner)
            if after:
                after(self.first + i)
        return dy if ctx.input_gradient else None

    def children(self) -> list[tuple[str, Module]]:
        return [(str(i), block) for i, block in enumerate(self.blocks, self.first)]

    def __len__(self) -> int:
        return len(self.blocks)

    def __repr__(self) -> str:
        inside = "\n".join(f"  ({i}) {block!r}" for i, block in self.children())
        return f"Sequential(\n{inside}\n)"
