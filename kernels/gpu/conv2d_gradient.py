"""The two gradients of a two-dimensional convolution."""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Window
from . import conv


def conv2d_dx(
    dy: Any,
    w: Any,
    window: Window,
    size: Pair,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    **finish: Any,
) -> None:
    """Gradient by the input."""
    conv.by_input(dy, w, window, groups, out, **finish)


def conv2d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights."""
    conv.by_weight(x, dy, window, groups, accumulate, out, pool)
