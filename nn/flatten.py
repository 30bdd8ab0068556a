"""Flatten: a view, no kernel."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.shape import Shape, prod
from .module import Module


class Flatten(Module):
    """(N, ...) -> (N, C): row-major, so channels stay innermost (the order differs from a channels-first library's)."""

    def out_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return x.reshape(x.shape[0], prod(x.shape[1:])), x.shape

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return dy.reshape(saved) if ctx.input_gradient else None
