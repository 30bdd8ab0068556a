"""Three-dimensional convolution: that of two dimensions, with one axis more.

Its gradient by the weights takes a sample as a stack of images, and a tap of the window, a distance in memory, may as well
lead to another image: so it is the two-dimensional one, sample by sample. Room is made around the images first, and then
between them, where an image is one pixel high and as wide as all its pixels.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, Window
from .conv2d_gradient import by_weight
from .correlation import correlate
from .padding import padded, place


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
    correlate(x, w, window, out=out, pool=pool, groups=groups, bias=bias, activation=activation)


def conv3d_dx(dy: Any, w: Any, window: Window, size: Shape, *, out: Any, pool: Any = None, groups: int = 1) -> None:
    """Gradient by the input; the op's definition is in kernels/ops/."""
    correlate(dy, w, window, out=out, pool=pool, groups=groups, adjoint=True)


def conv3d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    by_weight(_padded(x, window, pool), dy, out, window.stride, window.dilation, groups, accumulate, pool)


def _padded(x: Any, window: Window, pool: Any) -> Any:
    """x (N, D, H, W, C) with room around it; x itself where it needs none."""
    n, d, h, w, c = x.shape
    plane = Window(window.kernel[1:], window.stride[1:], window.padding[1:], window.dilation[1:])
    depth = Window((window.kernel[0], 1), (window.stride[0], 1), (window.padding[0], (0, 0)), (window.dilation[0], 1))
    images = place(x.reshape(n * d, h, w, c), padded((h, w), plane), pool)
    h, w = images.shape[1:3]
    stacks = place(images.reshape(n, d, h * w, c), padded((d, h * w), depth), pool)
    return stacks.reshape(n, stacks.shape[1], h, w, c)
