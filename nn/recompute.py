"""Recompute: a block that keeps its input only, and runs forward again when backward wants the rest.

Nothing has to be recorded for the second run to be the first: random bits have addresses (core/context.py), statistics are
added by backward and committed once (nn/module.py), and an input is never overwritten. So gradients are the same bits,
for the time of one more forward. Names, weights and children are the block's own: a checkpoint does not know of it.

    forward    x -> y             keeps x
    backward   x -> y, saved      then dx = block.backward(saved, dy)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.shape import Shape
from ..core.spec import Spec
from .cost import activations
from .ending import NOTHING, Ending
from .module import Module
from .replica import Replica
from .sequential import Sequential


class Recompute(Module):
    """The same function as `block`, with less kept from forward to backward.

    Memory is a block's input, which its neighbour mostly keeps anyway, instead of all inside; while one backward runs, all
    inside again, of that block only.   For blocks that neither put by nor take from the stash.
    After Chen, Xu, Zhang, Guestrin 2016, "Training deep nets with sublinear memory cost" (arXiv 1604.06174).
    """

    def __init__(self, block: Module):
        self.block = block

    @property
    def kind(self) -> str:
        return f"{self.block.kind}, recomputed"

    def specs(self, shape: Shape) -> list[Spec]:
        return self.block.specs(shape)

    def out_shape(self, shape: Shape) -> Shape:
        return self.block.out_shape(shape)

    def children(self) -> list[tuple[str, Module]]:
        return self.block.children()

    def commit(self, p: Any, g: Any) -> None:
        self.block.commit(p, g)

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return self.block.forward(p, x, ctx)[0], x

    def infer(self, p: Any, x: Any, ctx: Context, then: Ending = NOTHING) -> Any:
        return self.block.infer(p, x, ctx, then)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        again = self.block.forward(p, saved, ctx)[1]  # y is not needed, and freed
        return self.block.backward(p, g, again, dy, ctx)


def recomputed(model: Sequential, shape: Shape, dtype: Any = np.float32, integers: bool = False) -> Sequential:
    """The model with every block wrapped that is worth it and leaves the stash alone.

    Worth it is a block that keeps more, besides its input and output, than its input is: convolutions, activations and
    poolings are not, residual blocks, attention and recurrent layers are.   integers: as nn.cost.measure.
    """
    replica = Replica(model, shape, dtype)
    ctx = Context(training=True, samples=np.zeros(1, np.int64), backend="shapes")
    x: Any = np.zeros((1, *shape), np.int64 if integers else dtype)
    blocks: list[Module] = []
    for name, block in model.children():
        alone = not block.puts(x.shape[1:]) and not block.takes(x.shape[1:])
        y, kept = block.forward(replica.p.get(name, {}), x, ctx.at(name))
        known: set[int] = set()
        activations([x, y, replica.weights.flat, replica.buffers.flat], known)
        worth = activations(kept, known) > x.nbytes
        blocks.append(Recompute(block) if alone and worth else block)
        x = y
    return Sequential(*blocks, tie=model.tie)
