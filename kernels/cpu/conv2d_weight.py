"""WIP"""
from __future__ import annotations
from typing import Any
from ...core.shape import Window
from . import depthwise, filter_rows
from .weight_plan import plan

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
    if dw.shape[1:4] == (1, 1, 1) and x.shape[:4] == dy.shape[:4]:
        x, dy = (a.reshape(1, 1, 1, -1, a.shape[4]) for a in (x, dy))
    filter_rows.compute(plan(x.dtype, x.shape, dy.shape, window, groups), x, dy, dw, accumulate, pool)
