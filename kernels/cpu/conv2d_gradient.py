"""Gradients of a convolution: the same tile, with other addresses.

By the input it is a convolution again: dy, spread out by the stride and padded, with the filters rotated by half a turn
and channels exchanged (zeros between the pixels are multiplied along: a strided dx does stride^2 times the work).
By the weights it is a product whose rows are (r,s,c), each a place in the padded input, and whose sum runs over pixels:

    rows (r,s,c) x 6   |   for (n,p):  for q:    x[ (r,s,c) + (n,p) + q*stride*C ] * dy[ (n,p,q) ][ 16 output channels ]
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Window
from . import depthwise
from .brgemm import multiply
from .conv2d import correlate, packed
from .conv2d_weight import conv2d_dw as conv2d_dw
from .padding import Placement, place
from .panel import Layout


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
        return
    k, r, s, c = w.shape
    dy = place(dy, spread(size, window), pool)
    k //= groups
    rotated = Layout(r, s, k, -s * c, -c, r * s * c, c, 1, groups, k * r * s * c, (r * s - 1) * c)
    w = packed(w, rotated, pool)
    correlation = correlate(
        dy.dtype, dy.shape, out.shape, (1, *window.kernel), (1, 1, 1), (1, *window.dilation), groups
    )
    multiply(correlation, dy, w, out, bias=bias, activation=activation)


def spread(size: Pair, window: Window) -> Placement:
    """Where dy stands in the image whose plain correlation with the rotated filters has `size`."""
    reach = [d * (k - 1) for d, k in zip(window.dilation, window.kernel, strict=True)]
    (top, _), (left, _) = window.padding
    return Placement(size[0] + reach[0], size[1] + reach[1], reach[0] - top, reach[1] - left, *window.stride)
