"""Two-dimensional convolution by definition: one einsum per tap of the window.

It walks pairs (tap, strided view of the padded input); the gradients walk the same ones, so they are visibly adjoints.
"""

from __future__ import annotations

import numpy as np

from .gemm import epilogue


def pad(x, window):
    return np.pad(x, ((0, 0), *window.padding, (0, 0)))


def taps(padded, window, p, q):
    """(r, s, view): the pixels that tap (r, s) multiplies, one per output position."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            rows = slice(r * dh, r * dh + sh * (p - 1) + 1, sh)
            columns = slice(s * dw, s * dw + sw * (q - 1) + 1, sw)
            yield r, s, padded[:, rows, columns]


def grouped(a, groups):
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def conv2d(x, w, window, *, groups=1, **more):
    """y[n,p,q,g,k] = act( scale[g,k] * sum_{r,s,c} x[n, .., .., g, c] w[g,k,r,s,c] + bias[g,k] + residual[n,p,q,g,k] )"""
    p, q = window.out(*x.shape[1:3])
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    y = np.zeros((x.shape[0], p, q, *wg.shape[:2]), x.dtype)
    for r, s, view in taps(pad(x, window), window, p, q):
        y += np.einsum("npqgc,gkc->npqgk", grouped(view, groups), wg[:, :, r, s])
    return epilogue(y.reshape(*y.shape[:3], w.shape[0]), **more)
