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
    bias: Any = None,
    activation: str | None = None,
) -> None:
    """y = act(x * w + bias)"""
    conv.forward(x, w, window, groups, bias, activation, out)
