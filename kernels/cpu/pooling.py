"""Max pooling, a row of windows a job, all channels of a window element at once.

The winner's position travels with its value through the same comparison, so forward is one pass and backward compares
integers only. Windows inside a sample overlap, so backward's jobs are samples and each adds in (p, q) order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

from ...core.shape import Pair, Window
from .compile import kernel


def max_pool2d(x: np.ndarray, window: Window, *, out: tuple[np.ndarray, np.ndarray], pool: Any) -> None:
    y, argmax = out
    (top, _), (left, _) = window.padding
    _max_pool2d(x, window.kernel, window.stride, window.dilation, (top, left), y, argmax, work=x.nbytes)


@intrinsic
def choose(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    """a if condition else b, as one instruction: after a branch, stores are conditional, which vectors do slowly."""
    return a(types.boolean, a, b), lambda context, builder, signature, args: builder.select(*args)


@kernel
def _max_pool2d(x, kernel, stride, dilation, padding, y, argmax):
    rows = y.shape[1]
    for job in prange(y.shape[0] * rows):
        n, p = np.int64(job) // rows, np.int64(job) % rows
        top, left = stride[0] * p - padding[0], -padding[1]
        _row_of_windows(x[n], kernel, stride[1], dilation, top, left, y[n, p], argmax[n, p])


@njit
def _row_of_windows(x, kernel, stride, dilation, top, left, y, argmax):
    """x: (H, W, C), one sample   y, argmax: (Q, C), the windows whose first row is `top`."""
    height, width, channels = x.shape
    for q in range(y.shape[0]):
        first = True
        for r in range(kernel[0]):
            h = top + dilation[0] * r
            for s in range(kernel[1]):
                w = left + stride * q + dilation[1] * s
                if h < 0 or h >= height or w < 0 or w >= width:
                    continue
                position = np.int32(h * width + w)
                if first:
                    for c in range(channels):
                        y[q, c] = x[h, w, c]
                        argmax[q, c] = position
                    first = False
                else:
                    for c in range(channels):
                        value, best, place = x[h, w, c], y[q, c], argmax[q, c]
                        # not <= : larger, or one of the two is a NaN; a NaN that already won (best != best) stays
                        wins = (not (value <= best)) & (best == best)
                        larger = choose(value > best, value, best)
                        y[q, c] = choose(value == value, larger, value)
                        argmax[q, c] = choose(wins, position, place)


def max_pool2d_dx(dy: np.ndarray, argmax: np.ndarray, size: Pair, *, out: np.ndarray, pool: Any) -> None:
    n, p, q, channels = dy.shape
    rows = out.reshape(n, size[0] * size[1], channels)
    _max_pool2d_dx(dy.reshape(n, p * q, channels), argmax.reshape(n, p * q, channels), rows, work=out.nbytes)


@kernel
def _max_pool2d_dx(dy, argmax, dx):
    for n in prange(dy.shape[0]):
        dx[n] = 0
        for window in range(dy.shape[1]):
            for c in range(dy.shape[2]):
                dx[n, argmax[n, window, c], c] += dy[n, window, c]
