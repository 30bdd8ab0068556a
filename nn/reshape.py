"""Reshape: a view, no kernel. Images become sequences of their rows, codes become images again."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape, prod
from .module import Module


class Reshape(Module):
    """(N, ...) -> (N, *shape), row-major."""

    def __init__(self, *shape: int):
        self.shape = shape

    def out_shape(self, shape: Shape) -> Shape:
        if prod(shape) != prod(self.shape):
            raise UsageError(
                f"Reshape{self.shape} takes samples of {prod(self.shape)} elements, not {prod(shape)} {shape}"
            )
        return self.shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return x.reshape(x.shape[0], *self.shape), x.shape

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return dy.reshape(saved) if ctx.input_gradient else None
