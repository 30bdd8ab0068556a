"""Pooling, one window element (r, s) at a time over all windows at once.

The position of the winner is kept beside its value, so "the first of equals", "a NaN wins" and "padding never wins" are
three terms of one comparison instead of properties of a library's maximum. The mean walks the taps that a convolution walks.
"""

from __future__ import annotations

import numpy as np

from ...core.shape import Pair, Window
from .conv2d import pad, taps


def max_pool2d(x: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    n, height, width, channels = x.shape
    p, q = window.out(height, width)
    y = np.full((n, p, q, channels), -np.inf, x.dtype)
    argmax = np.full((n, p, q, channels), -1, np.int32)
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            h = (window.stride[0] * np.arange(p) + window.dilation[0] * r - window.padding[0][0])[:, None]
            w = (window.stride[1] * np.arange(q) + window.dilation[1] * s - window.padding[1][0])[None, :]
            real = ((h >= 0) & (h < height) & (w >= 0) & (w < width))[None, :, :, None]
            value = x[:, h.clip(0, height - 1), w.clip(0, width - 1), :]
            first = argmax < 0
            wins = real & (first | (value > y) | (np.isnan(value) & ~np.isnan(y)))
            y = np.where(wins, value, y)
            argmax = np.where(wins, (h * width + w).astype(np.int32)[None, :, :, None], argmax)
    return y, argmax


def max_pool2d_dx(dy: np.ndarray, argmax: np.ndarray, size: Pair) -> np.ndarray:
    n, p, q, channels = dy.shape
    dx = np.zeros((n, size[0] * size[1], channels), dy.dtype)
    every = np.arange(n)[:, None], np.arange(channels)[None, :]
    for i in range(p):
        for j in range(q):
            dx[every[0], argmax[:, i, j, :], every[1]] += dy[:, i, j, :]
    return dx.reshape(n, *size, channels)


def max_unpool2d_dx(dy: np.ndarray, argmax: np.ndarray) -> np.ndarray:
    n, height, width, channels = dy.shape
    positions = argmax.reshape(n, argmax.shape[1] * argmax.shape[2], channels)
    return np.take_along_axis(dy.reshape(n, height * width, channels), positions, axis=1).reshape(argmax.shape)


def avg_pool2d(x: np.ndarray, window: Window, *, count_include_pad: bool = True) -> np.ndarray:
    p, q = window.out(*x.shape[1:3])
    y = np.zeros((x.shape[0], p, q, x.shape[3]), x.dtype)
    for _, _, view in taps(pad(x, window), window, p, q):
        y += view
    return y / _elements(window, x.shape[1:3], count_include_pad).astype(x.dtype)


def avg_pool2d_dx(dy: np.ndarray, window: Window, size: Pair, *, count_include_pad: bool = True) -> np.ndarray:
    (top, _), (left, _) = window.padding
    share = dy / _elements(window, size, count_include_pad).astype(dy.dtype)
    padded = pad(np.zeros((dy.shape[0], *size, dy.shape[3]), dy.dtype), window)
    for _, _, view in taps(padded, window, *dy.shape[1:3]):
        view += share
    return padded[:, top : top + size[0], left : left + size[1]]


def _elements(window: Window, size: Pair, count_include_pad: bool) -> np.ndarray:
    """(1, P, Q, 1), or the same for all: what the sum over a window is divided by."""
    if count_include_pad:
        return np.full((1, 1, 1, 1), np.prod(window.kernel))
    ones = pad(np.ones((1, *size, 1), np.int64), window)
    return np.maximum(sum(view for _, _, view in taps(ones, window, *window.out(*size))), 1)
