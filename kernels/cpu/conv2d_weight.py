"""The gradient by the weights: which channels are the rows of a tile.

A tile's rows may lie anywhere; its vectors want 16 neighbours. Where x has so many channels they are the vectors, dw is
written as it lies, and border pixels are skipped (filter_rows.py). With fewer, vectors of them would be half empty; then
output channels are the vectors, and (r,s,c) the rows (tap_rows.py). Depth is another choice of images, for both.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Window
from . import depthwise, filter_rows, tap_rows
from .simd import lanes
from .weight_plan import plan

ONE = Window((1, 1, 1), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1))


def conv2d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    if depthwise.suits(out, groups):
        depthwise.dw(x, dy, window, out, pool, accumulate)
        return
    deep = Window((1, *window.kernel), (1, *window.stride), ((0, 0), *window.padding), (1, *window.dilation))
    by_weight(x[:, None], dy[:, None], out[:, None], deep, groups, accumulate, pool)


def by_weight(x: Any, dy: Any, dw: Any, window: Window, groups: int, accumulate: bool, pool: Any) -> None:
    """dw (K, T, R, S, C/G) of x (N, D, H, W, C) and dy (N, O, P, Q, K)."""
    if x.size and dw.shape[1:4] == (1, 1, 1) and x.shape[:4] == dy.shape[:4] and not any(map(any, window.padding)):
        x, dy = (a.reshape(1, 1, 1, -1, a.shape[4]) for a in (x, dy))  # a product of matrices: all pixels are one row
        window = ONE
    of = (x.dtype, x.shape, dy.shape, window, groups)
    if dw.shape[4] <= lanes(dw.dtype):
        tap_rows.compute(tap_rows.plan(*of), x, dy, dw, accumulate, pool)
    else:
        filter_rows.compute(plan(*of), x, dy, dw, accumulate, pool)
