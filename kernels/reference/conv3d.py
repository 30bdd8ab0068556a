"""Three-dimensional convolution by definition: plane o of the output is a sum of convolutions of planes of the input."""

from __future__ import annotations

import numpy as np

from ...core.shape import Window
from .conv2d import conv2d
from .conv2d_gradient import conv2d_dw, conv2d_dx
from .gemm import epilogue


def planes(window, depth, out):
    """(o, t, d): plane o of the output meets plane d of the input through plane t of the filters."""
    stride, dilation, front = window.stride[0], window.dilation[0], window.padding[0][0]
    met = [(o, t, stride * o + dilation * t - front) for o in range(out) for t in range(window.kernel[0])]
    return [(o, t, d) for o, t, d in met if 0 <= d < depth]


def within(window):
    """The window within a plane."""
    return Window(window.kernel[1:], window.stride[1:], window.padding[1:], window.dilation[1:])


def conv3d(x, w, window, *, groups=1, **more):
    """y[n,o] = act( sum_t conv2d(x[n, stride*o + dilation*t - front], w[t]) + bias )"""
    y = np.zeros((len(x), *window.out(*x.shape[1:4]), len(w)), x.dtype)
    for o, t, d in planes(window, x.shape[1], y.shape[1]):
        y[:, o] += conv2d(x[:, d], w[:, t], within(window), groups=groups)
    return epilogue(y, **more)


def conv3d_dx(dy, w, window, size, *, groups=1):
    """dx[n,d] += conv2d_dx(dy[n,o], w[t])"""
    dx = np.zeros((len(dy), *size, w.shape[4] * groups), dy.dtype)
    for o, t, d in planes(window, size[0], dy.shape[1]):
        dx[:, d] += conv2d_dx(dy[:, o], w[:, t], within(window), size[1:], groups=groups)
    return dx


def conv3d_dw(x, dy, window, *, groups=1, accumulate=False):
    """dw[t] = sum_o conv2d_dw(x[d], dy[o])"""
    dw = np.zeros((dy.shape[4], *window.kernel, x.shape[4] // groups), x.dtype)
    for o, t, d in planes(window, x.shape[1], dy.shape[1]):
        dw[:, t] += conv2d_dw(x[:, d], dy[:, o], within(window), groups=groups)
    return dw
