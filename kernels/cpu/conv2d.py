"""Convolution: each kind of window is computed by what suits it.

one input channel a group         depthwise: channels fill the vectors
one tap, stride 1, no padding     a matrix product of all pixels with the filters
3 x 3, where it pays              Winograd's algorithm (winograd.py)
any other                         rectangles of pixels that meet the same taps (correlation.py)
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Window, prod
from . import depthwise, winograd
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
    **epilogue: Any,
) -> None:
    """y = act(scale * (x * w) + bias + residual), cross-correlation; the op's definition is in kernels/ops/."""
    if depthwise.suits(w, groups):
        depthwise.forward(x, w, window, out, pool, **epilogue)
    elif winograd.suits(x, w.shape, window, groups, x.shape[1:3]):
        winograd.forward(x, w, window, out, pool, **epilogue)
    elif pointwise(window, groups):
        gemm(matrix(x), w.reshape(len(w), -1), out=matrix(out), pool=pool, trans_b=True, **epilogue)
    else:
        correlate(x, w, window, out=out, pool=pool, groups=groups, **epilogue)


def pointwise(window: Window, groups: int) -> bool:
    """Whether every pixel is multiplied by one and the same matrix."""
    return groups == 1 and prod(window.kernel + window.stride) == 1 and not any(map(any, window.padding))


def matrix(pixels: Any) -> Any:
    """(..., C) as (pixels, C)."""
    return pixels.reshape(-1, pixels.shape[-1])
