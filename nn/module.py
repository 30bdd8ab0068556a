"""Module: hyper-parameters only.

Weights, gradients and what backward needs are passed in and handed back, never remembered. So one layer object serves any
number of micro-batches and weight versions at the same time, which is what pipelines, stashing and prediction need.

    y, saved = layer.forward(p, x, ctx)
    dx       = layer.backward(p, g, saved, dy, ctx)        adds the weights' gradients into g

p and g are views of an Arena: p["weight"] for a layer, p["0"] for a child of a container. Shapes never contain the batch.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape
from ..core.spec import Spec


class Module:
    """The face of every layer and container; a layer without weights writes out_shape, forward and backward only."""

    def specs(self, shape: Shape) -> list[Spec]:
        """The weights for an input of `shape` (one sample, no batch), named from here: "weight", "0.weight"."""
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

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({facts})"
