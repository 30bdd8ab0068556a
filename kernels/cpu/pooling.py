"""Pooling, a row of windows a job, all channels of a window element at once.

The winner's position travels with its value through the same comparison, so forward is one pass and backward compares
integers only. Windows overlap, and where the winners lie only the data says, so backward's jobs are samples and each adds
in (p, q) order. Which windows of a mean hold a pixel the shape says: there a row of pixels is a job and looks them up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic

from ...core.shape import Pair, Window
from .compile import kernel
from .scratch import empty


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


def max_unpool2d_dx(dy: np.ndarray, argmax: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    n, p, q, channels = argmax.shape
    pixels = dy.reshape(n, dy.shape[1] * dy.shape[2], channels)
    _max_unpool2d_dx(pixels, argmax.reshape(n, p * q, channels), out.reshape(n, p * q, channels), work=out.nbytes)


@kernel
def _max_unpool2d_dx(dy, argmax, dx):
    for n in prange(dx.shape[0]):
        for window in range(dx.shape[1]):
            for c in range(dx.shape[2]):
                dx[n, window, c] = dy[n, argmax[n, window, c], c]


def avg_pool2d(x: np.ndarray, window: Window, *, out: np.ndarray, pool: Any, count_include_pad: bool = True) -> None:
    sums = empty(pool, (out.shape[0] * out.shape[1], x.shape[3]), np.float64)
    _avg_pool2d(x, *_axes(window), count_include_pad, sums, out, work=x.nbytes)


def _axes(window: Window) -> tuple[tuple[int, ...], ...]:
    """(kernel, stride, padding before, dilation) of each axis."""
    befores = [before for before, _ in window.padding]
    return tuple(zip(window.kernel, window.stride, befores, window.dilation, strict=True))


@kernel
def _avg_pool2d(x, rows, columns, count_include_pad, sums, y):
    count = y.shape[1]
    for job in prange(y.shape[0] * count):
        n, p = np.int64(job) // count, np.int64(job) % count
        _row_of_means(x[n], p, rows, columns, count_include_pad, sums[job], y[n, p])


@njit
def _row_of_means(x, p, rows, columns, count_include_pad, sums, y):
    """x: (H, W, C), one sample   y: (Q, C), the windows of row p; summed in float64 and rounded once."""
    height, width, channels = x.shape
    for q in range(y.shape[0]):
        for c in range(channels):
            sums[c] = 0
        for r in range(rows[0]):
            h = rows[1] * p - rows[2] + rows[3] * r
            for s in range(columns[0]):
                w = columns[1] * q - columns[2] + columns[3] * s
                if 0 <= h < height and 0 <= w < width:
                    for c in range(channels):
                        sums[c] += x[h, w, c]
        share = _share(p, height, rows, count_include_pad) * _share(q, width, columns, count_include_pad)
        for c in range(channels):
            y[q, c] = share * sums[c]


@njit
def _share(p, size, axis, count_include_pad):
    """1 / elements of window p along one axis of `size` pixels."""
    kernel, stride, before, dilation = axis
    inside = 0
    for r in range(kernel):
        inside += count_include_pad or 0 <= stride * p - before + dilation * r < size
    return 1.0 / max(inside, 1)


def avg_pool2d_dx(
    dy: np.ndarray, window: Window, size: Pair, *, out: np.ndarray, pool: Any, count_include_pad: bool = True
) -> None:
    _avg_pool2d_dx(dy, *_axes(window), count_include_pad, out, work=out.nbytes)


@kernel
def _avg_pool2d_dx(dy, rows, columns, count_include_pad, dx):
    height = dx.shape[1]
    for job in prange(dx.shape[0] * height):
        n, h = np.int64(job) // height, np.int64(job) % height
        _row_of_shares(dy[n], h, height, rows, columns, count_include_pad, dx[n, h])


@njit
def _row_of_shares(dy, h, height, rows, columns, count_include_pad, dx):
    """dy: (P, Q, C), one sample   dx: (W, C), its row h."""
    (_, down, top, apart), (_, right, left, aside) = rows, columns
    for w in range(dx.shape[0]):
        for c in range(dx.shape[1]):
            dx[w, c] = 0
        for p in range(*_windows(h, dy.shape[0], rows)):
            if (h + top - down * p) % apart:
                continue
            of_row = _share(p, height, rows, count_include_pad)
            for q in range(*_windows(w, dy.shape[1], columns)):
                if (w + left - right * q) % aside:
                    continue
                share = dy.dtype.type(of_row * _share(q, dx.shape[0], columns, count_include_pad))
                for c in range(dx.shape[1]):
                    dx[w, c] += share * dy[p, q, c]


@njit
def _windows(h, count, axis):
    """[first, last) of the `count` windows whose span holds pixel h."""
    kernel, stride, before, dilation = axis
    first = -((dilation * (kernel - 1) - h - before) // stride)
    return max(0, first), min(count, (h + before) // stride + 1)
