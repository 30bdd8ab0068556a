"""Three-dimensional convolution and its gradients."""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, Window
from . import conv


def conv3d(
    x: Any,
    w: Any,
    window: Window,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    **finish: Any,
) -> None:
    """y = act(x * w + bias)"""
    conv.forward(x, w, window, groups, out, **finish)


def conv3d_dx(dy: Any, w: Any, window: Window, size: Shape, *, out: Any, pool: Any = None, groups: int = 1) -> None:
    """Gradient by the input."""
    conv.by_input(dy, w, window, groups, out)


def conv3d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights."""
    conv.by_weight(x, dy, window, groups, accumulate, out, pool)
