"""Upsample2d: larger images without weights, for decoders that should not leave the checkerboard of a transposed convolution."""

from __future__ import annotations

from typing import Any, Literal

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Pair, Shape, each
from ..kernels import ops
from .module import Module


class Upsample2d(Module):
    """Every pixel becomes scale x scale pixels; x: (N, H, W, C) -> y: (N, scale*H, scale*W, C).

    mode: "nearest" repeats pixels; "linear" interpolates along both axes, as torch.nn.Upsample(mode="bilinear").
    """

    def __init__(self, scale: int | Pair, mode: Literal["nearest", "linear"] = "nearest"):
        if mode not in ("nearest", "linear"):
            raise UsageError(f'Upsample2d mode "{mode}" is not known', 'use "nearest" or "linear"')
        self.scale = each(scale, 2)
        self.mode = mode

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise UsageError(f"Upsample2d takes samples of shape (H, W, C), not {shape}")
        return (self.scale[0] * shape[0], self.scale[1] * shape[1], shape[2])

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        return ops.upsample2d(x, self.scale, self.mode, pool=ctx.pool, backend=ctx.backend), None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        if not ctx.input_gradient:
            return None
        return ops.upsample2d_dx(dy, self.scale, self.mode, pool=ctx.pool, backend=ctx.backend)
