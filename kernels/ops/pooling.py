"""Sliding windows that keep one number each: the largest, or the mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import UsageError
from ...core.shape import Pair, Window, prod
from ..op import Like, op
from .rule import need


@op(flops=lambda x, window: prod(window.kernel) * x.shape[0] * prod(window.out(*x.shape[1:3])) * x.shape[3])
def max_pool2d(x: Any, window: Window) -> tuple[Like, ...]:
    """Maximum over a window, and where it was found.

        y[n,p,q,c] = max_{r,s} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c]

    x: (N, H, W, C)  ->  y: (N, P, Q, C), argmax: (N, P, Q, C) int32, the position h*W + w within the sample.
    Padding never wins (it counts as minus infinity). Among equal values the first in (r, s) order wins. A NaN wins.
    Every window must hold at least one real element, so padding is less than the window's span.
    """
    need(len(x.shape) == 4, lambda: f"max_pool2d: x {x.shape} must be (N, H, W, C)")
    for k, d, sides in zip(window.kernel, window.dilation, window.padding, strict=True):
        span = d * (k - 1) + 1
        if 2 * max(sides) > span:
            raise UsageError(f"max_pool2d: padding {sides} is more than half of the window's span {span}")
    shape = (x.shape[0], *window.out(*x.shape[1:3]), x.shape[3])
    for n, k, s, d, (before, _), out in zip(
        x.shape[1:3], window.kernel, window.stride, window.dilation, window.padding, shape[1:3], strict=True
    ):
        real = n >= d or all(any(0 <= s * p - before + d * r < n for r in range(k)) for p in range(out))
        if not real:
            raise UsageError(f"max_pool2d: dilation {d} steps over an input of {n}: a window would hold padding only")
    return Like(shape, x.dtype), Like(shape, np.dtype(np.int32))


@op(flops=lambda dy, argmax, size: prod(dy.shape))
def max_pool2d_dx(dy: Any, argmax: Any, size: Pair) -> tuple[Like, ...]:
    """Gradient of max_pool2d: dy goes to the element that won; overlapping windows add, in (p, q) order. As a layer of its
    own it is called max unpooling.

    dy: (N, P, Q, C)   argmax: (N, P, Q, C) int32   size: (H, W)   ->   dx: (N, H, W, C)
    """
    need(dy.shape == argmax.shape, lambda: f"max_pool2d_dx: dy {dy.shape}, argmax {argmax.shape}")
    need(argmax.dtype == np.int32, lambda: f"max_pool2d_dx: argmax is {argmax.dtype}, not int32")
    return (Like((dy.shape[0], *size, dy.shape[3]), dy.dtype),)


@op(flops=lambda dy, argmax: 0)
def max_unpool2d_dx(dy: Any, argmax: Any) -> tuple[Like, ...]:
    """Gradient of max unpooling: reads what is where the winner was; the adjoint of max_pool2d_dx.

        dx[n,p,q,c] = dy[n, h, w, c]    with h*W + w = argmax[n,p,q,c]

    dy: (N, H, W, C)   argmax: (N, P, Q, C) int32   ->   dx: (N, P, Q, C)
    """
    need(
        len(dy.shape) == len(argmax.shape) == 4 and (dy.shape[0], dy.shape[3]) == (argmax.shape[0], argmax.shape[3]),
        lambda: f"max_unpool2d_dx: dy {dy.shape}, argmax {argmax.shape}",
    )
    need(argmax.dtype == np.int32, lambda: f"max_unpool2d_dx: argmax is {argmax.dtype}, not int32")
    return (Like(argmax.shape, dy.dtype),)


@op(flops=lambda x, window, **_: prod(window.kernel) * x.shape[0] * prod(window.out(*x.shape[1:3])) * x.shape[3])
def avg_pool2d(x: Any, window: Window, *, count_include_pad: bool = True) -> tuple[Like, ...]:
    """Mean over a window.

        y[n,p,q,c] = 1/m * sum_{r,s} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c]

    x: (N, H, W, C)  ->  y: (N, P, Q, C); x is 0 outside.   m: R*S, or with count_include_pad=False the elements of this
    window that lie inside x (a window of padding alone gives 0).
    """
    need(len(x.shape) == 4, lambda: f"avg_pool2d: x {x.shape} must be (N, H, W, C)")
    return (Like((x.shape[0], *window.out(*x.shape[1:3]), x.shape[3]), x.dtype),)


@op(flops=lambda dy, window, size, **_: prod(window.kernel) * prod(dy.shape))
def avg_pool2d_dx(dy: Any, window: Window, size: Pair, *, count_include_pad: bool = True) -> tuple[Like, ...]:
    """Gradient of avg_pool2d: every element of a window gets dy / m; overlapping windows add, in (p, q) order.

    dy: (N, P, Q, C)   size: (H, W)   ->   dx: (N, H, W, C)
    """
    need(
        dy.shape[1:3] == window.out(*size),
        lambda: f"avg_pool2d_dx: dy {dy.shape}, but {size} gives {window.out(*size)}",
    )
    return (Like((dy.shape[0], *size, dy.shape[3]), dy.dtype),)
