"""Convolutions over two or three axes: what their kernels are told, and how many blocks share the work."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import Shape, Window, prod
from .epilogue import epilogue
from .launch import BLOCK, WAVES, Source, cover
from .memory import constant, scratch

_kernels, _depthwise = Source("conv.cu"), Source("depthwise.cu")

TILE = 128  # rows and columns of a product that a block computes
CHUNK = 4096  # output pixels that one partial sum of dw is over, at least
PARTS = 64  # partial sums of dw at most


def geometry(like: Any, x: Shape, y: Shape, window: Window, groups: int) -> Any:
    """Sizes (D, H, W, C/G, O, P, Q, K/G, T, R, S, G), strides, dilations and padding before, as int32 on the device."""

    def make() -> np.ndarray:
        missing = 3 - len(window.kernel)
        three = lambda values, fill: (*[fill] * missing, *values)  # noqa: E731
        sizes = (
            *three(x[:-1], 1),
            x[-1] // groups,
            *three(y[:-1], 1),
            y[-1] // groups,
            *three(window.kernel, 1),
            groups,
        )
        befores = three([before for before, _ in window.padding], 0)
        return np.array([*sizes, *three(window.stride, 1), *three(window.dilation, 1), *befores], np.int32)

    return constant(like, ("geometry", x, y, window, groups), make)


def forward(x: Any, w: Any, window: Window, groups: int, out: Any, **finish: Any) -> None:
    """y = act(scale * (x * w) + bias + residual)"""
    told = geometry(x, x.shape[1:], out.shape[1:], window, groups)
    _product("forward", x, w, out, told, groups, finish)


def by_input(dy: Any, w: Any, window: Window, groups: int, out: Any, **finish: Any) -> None:
    """The adjoint of forward in x."""
    told = geometry(dy, out.shape[1:], dy.shape[1:], window, groups)
    _product("by_input", dy, w, out, told, groups, finish)


def _product(kernel: str, a: Any, w: Any, out: Any, told: Any, groups: int, finish: dict) -> None:
    rows, numbers = epilogue(out, **finish)
    if depthwise(w, groups):
        _depthwise.launch(kernel, *cover(out.size, 1), a, w, *rows, out, told, out.size, *numbers)
        return
    tiles = groups * -(-(out.shape[-1] // groups) // TILE) * -(-(out.size // out.shape[-1]) // TILE)
    _kernels.launch(kernel, min(tiles, WAVES), BLOCK, a, w, *rows, out, told, len(out), *numbers)


def depthwise(w: Any, groups: int) -> bool:
    """Whether every group has one input channel."""
    return groups > 1 and w.shape[-1] == 1


def by_weight(x: Any, dy: Any, window: Window, groups: int, accumulate: bool, out: Any, pool: Any) -> None:
    """dw: partial sums over chunks of pixels, which the shape decides, then their sum in float64."""
    told = geometry(x, x.shape[1:], dy.shape[1:], window, groups)
    pixels = dy.size // dy.shape[-1]
    chunk = max(CHUNK, -(-pixels // PARTS))
    chunks = -(-pixels // chunk)
    partial = scratch(pool, x, (chunks, *out.shape), out.dtype)
    arrays = x, dy, partial, told, len(x), chunks, chunk
    if depthwise(out, groups):
        tiles = prod(out.shape[1:]) * -(-dy.shape[-1] // 32)
        _depthwise.launch("by_weight", min(chunks * tiles, WAVES), BLOCK, *arrays)
    else:
        tiles = groups * -(-(dy.shape[-1] // groups) // TILE) * -(-prod(out.shape[1:]) // TILE)
        _kernels.launch("by_weight", min(chunks * tiles, WAVES), BLOCK, *arrays)
    _kernels.launch("of_chunks", *cover(out.size, 1), partial, out, out.size, chunks, accumulate)
