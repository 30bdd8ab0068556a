"""Three-dimensional convolution: the products of the two-dimensional one, with depth where that has the samples of a batch.

A sample is a stack of images, and a tap of the window, a distance in memory, may as well lead to another image. So the
same product serves, sample by sample. Room is made around the images first, and then between them, where an image is
one pixel high and as wide as all its pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.shape import Pair, Shape, Window, prod
from .brgemm import multiply
from .conv2d import correlate, packed, padded
from .conv2d_gradient import by_weight, spread
from .padding import Placement, place
from .panel import Layout


def conv3d(
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
    x = _placed(x, x.shape[1:4], window, padded, pool)
    terms, k = prod(w.shape[1:]), w.shape[0] // groups
    w = packed(w, Layout(1, 1, terms, 0, 0, 1, k, terms, groups, k * terms), pool)
    steps = window.kernel, window.stride, window.dilation
    correlation = correlate(x.dtype, x.shape[1:], out.shape[1:], *steps, groups)
    for sample, y in zip(x, out, strict=True):
        multiply(correlation, sample, w, y, bias=bias, activation=activation)


def conv3d_dx(dy: Any, w: Any, window: Window, size: Shape, *, out: Any, pool: Any = None, groups: int = 1) -> None:
    """Gradient by the input; the op's definition is in kernels/ops/."""
    dy = _placed(dy, size, window, spread, pool)
    taps, (s, c), k = prod(w.shape[1:4]), w.shape[3:], w.shape[0] // groups
    w = packed(w, Layout(taps // s, s, k, -s * c, -c, taps * c, c, 1, groups, k * taps * c, (taps - 1) * c), pool)
    correlation = correlate(dy.dtype, dy.shape[1:], out.shape[1:], window.kernel, (1, 1, 1), window.dilation, groups)
    for sample, dx in zip(dy, out, strict=True):
        multiply(correlation, sample, w, dx)


def conv3d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    x = _placed(x, x.shape[1:4], window, padded, pool)
    by_weight(x, dy, out, window.stride, window.dilation, groups, accumulate, pool)


def _placed(x: Any, size: Shape, window: Window, room: Callable[[Pair, Window], Placement], pool: Any) -> Any:
    """x (N, D, H, W, C) with `room` as for an input of `size`; x itself where it needs none."""
    n, d, h, w, c = x.shape
    plane = Window(window.kernel[1:], window.stride[1:], window.padding[1:], window.dilation[1:])
    depth = Window((window.kernel[0], 1), (window.stride[0], 1), (window.padding[0], (0, 0)), (window.dilation[0], 1))
    images = place(x.reshape(n * d, h, w, c), room((size[1], size[2]), plane), pool)
    h, w = images.shape[1:3]
    stacks = place(images.reshape(n, d, h * w, c), room((size[0], h * w), depth), pool)
    return stacks.reshape(n, stacks.shape[1], h, w, c)
