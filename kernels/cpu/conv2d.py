"""Convolution: each kind of window is computed by what suits it.

one input channel a group         depthwise: channels fill the vectors
one tap, stride 1, no padding     a matrix product of all pixels with the filters
any other                         rectangles of pixels that meet the same taps (correlation.py)
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Window, prod
from . import depthwise
from .correlation import correlate
from .gemm import gemm


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
    """y = act(x * w + bias), cross-correlation; the op's definition is in kernels/ops/."""
    if depthwise.suits(w, groups):
        depthwise.forward(x, w, window, out, pool, bias, activation)
    elif pointwise(window, groups):
        x, w, y = matrix(x), w.reshape(len(w), -1), matrix(out)
        gemm(x, w, out=y, pool=pool, trans_b=True, bias=bias, activation=activation)
    else:
        correlate(x, w, window, out=out, pool=pool, groups=groups, bias=bias, activation=activation)


def pointwise(window: Window, groups: int) -> bool:
    """Whether every pixel is multiplied by one and the same matrix."""
    return groups == 1 and prod(window.kernel + window.stride) == 1 and not any(map(any, window.padding))


def matrix(pixels: Any) -> Any:
    """(..., C) as (pixels, C)."""
    return pixels.reshape(-1, pixels.shape[-1])
