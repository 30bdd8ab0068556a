"""Module: hyper-parameters only.

Weights, gradients and what backward needs are passed in and handed back, never remembered. So one layer object serves any
number of micro-batches and weight versions at the same time, which is what pipelines, stashing and prediction need.

    y, saved = layer.forward(p, x, ctx)
    dx       = layer.backward(p, g, saved, dy, ctx)        adds the weights' gradients into g

Where no backward follows, y = layer.infer(p, x, ctx) is the same up to rounding, keeps nothing and computes neighbours together
(nn/ending.py); a new layer need not know.

p and g are views of Arenas: p["weight"] for a layer, p["0"] for a child of a container. p holds what the layer reads,
weights and buffers; g what it adds into, gradients and statistics. Shapes never contain the batch.

Running statistics are additive and committed once: backward adds a batch's counts and sums into g, a strategy adds them
up over ranks and micro-batches like gradients, and commit turns the total into new buffers. So recomputation,
micro-batches and replicas cannot count anything twice.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape
from ..core.spec import Spec
from .ending import NOTHING, Ending


class Module:
    """The face of every layer and container; a layer without weights writes out_shape, forward and backward only."""

    @property
    def kind(self) -> str:
        """Its name in tables and messages."""
        return type(self).__name__

    def specs(self, shape: Shape) -> list[Spec]:
        """What it holds for an input of `shape` (one sample, no batch), named from here: "weight", "0.weight"."""
        return []

    def out_shape(self, shape: Shape) -> Shape:
        """The output's shape for an input of `shape`; UsageError if the input does not fit."""
        raise NotImplementedError

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        """(y, saved): saved is whatever backward needs."""
        raise NotImplementedError

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        """dx, or None where ctx.input_gradient is False; weight gradients are added into g. May overwrite dy."""
        raise NotImplementedError

    def infer(self, p: Any, x: Any, ctx: Context, then: Ending = NOTHING) -> Any:
        """y where ctx.training is False and no backward follows, with `then` done to it.

        then: within what the layer carries, or a residual and an activation.
        """
        return then.applied(self.forward(p, x, ctx)[0], ctx)

    @property
    def carries(self) -> tuple[str, ...]:
        """The parts of an Ending that its own op computes."""
        return ()

    def ending(self, p: Any) -> Ending | None:
        """What it does in evaluation, if that can be the ending of the layer before it."""
        return None

    def puts(self, shape: Shape) -> dict[str, Shape]:
        """What it puts by in ctx.stash for a later block of its list, and the shape of one sample of it."""
        return {}

    def takes(self, shape: Shape) -> dict[str, Shape]:
        """What it takes out of ctx.stash."""
        return {}

    def children(self) -> list[tuple[str, Module]]:
        """The layers inside, by the names their weights are under."""
        return []

    def commit(self, p: Any, g: Any) -> None:
        """Updates the buffers in p from the statistics in g, those of one global batch; called once for it."""
        for name, module in self.children():
            module.commit(p.get(name, {}), g.get(name, {}))

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({facts})"
