"""Gradient of a convolution by its input: the adjoint walks the same rectangles, read by the pixels of x.

The other gradient has a file of its own, because its sum runs over pixels.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Window
from . import depthwise, winograd
from .conv2d import matrix, pointwise
from .conv2d_weight import conv2d_dw as conv2d_dw  # an op of this file
from .correlation import correlate
from .gemm import gemm


def conv2d_dx(
    dy: Any,
    w: Any,
    window: Window,
    size: Pair,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    bias: Any = None,
    activation: str | None = None,
) -> None:
    """Gradient by the input; the op's definition is in kernels/ops/."""
    if depthwise.suits(w, groups):
        depthwise.dx(dy, w, window, out, pool, bias, activation)
    elif winograd.suits(dy, w.shape, window, groups, size):
        winograd.dx(dy, w, window, out, pool, bias=bias, activation=activation)
    elif pointwise(window, groups):
        dy, w, dx = matrix(dy), w.reshape(len(w), -1), matrix(out)
        gemm(dy, w, out=dx, pool=pool, bias=bias, activation=activation)
    else:
        correlate(dy, w, window, out=out, pool=pool, groups=groups, adjoint=True, bias=bias, activation=activation)
