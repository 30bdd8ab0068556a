"""Two-dimensional convolution."""

from __future__ import annotations

from typing import Any

from ...core.shape import Window
from . import conv


def conv2d(
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
