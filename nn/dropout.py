"""Dropout: the mask is never stored; backward draws the same bits again from the same address."""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.random import key
from ..core.shape import Shape
from ..kernels import ops
from .ending import NOTHING, Ending
from .module import Module


class Dropout(Module):
    """Zeroes elements with probability `rate` while training and scales the rest by 1/(1 - rate); else the identity.

    Which elements depends on (seed, layer path, step, global sample index, element) only: not on ranks, shares or
    micro-batches.
    """

    def __init__(self, rate: float):
        if not 0 <= rate < 1:
            raise UsageError(f"Dropout rate {rate} is not in [0, 1)")
        self.rate = rate

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return self._mask(x, ctx), None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        return self._mask(dy, ctx) if ctx.input_gradient else None

    def ending(self, p: Any) -> Ending:
        return NOTHING

    def _mask(self, x: Any, ctx: Context) -> Any:
        if not ctx.training or self.rate == 0:
            return x
        stream = key(ctx.seed, "dropout", ctx.path)
        return ops.dropout(
            x, ctx.samples, rate=self.rate, key=stream, step=ctx.step, pool=ctx.pool, backend=ctx.backend
        )
