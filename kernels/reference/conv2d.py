"""Two-dimensional convolution and its two gradients by definition: one einsum per kernel tap.

All three walk the same pairs (tap, strided view of the padded input), so that the gradients are visibly the adjoints.
"""

from __future__ import annotations

import numpy as np


def _padded(x, window):
    return np.pad(x, ((0, 0), *window.padding, (0, 0)))


def _taps(padded, window, p, q):
    """(r, s, view): the pixels that tap (r, s) multiplies, one per output position."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            rows = slice(r * dh, r * dh + sh * (p - 1) + 1, sh)
            columns = slice(s * dw, s * dw + sw * (q - 1) + 1, sw)
            yield r, s, padded[:, rows, columns]


def _grouped(a, groups):
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def conv2d(x, w, window, *, groups=1, bias=None, activation=None):
    """y[n,p,q,g,k] = act( sum_{r,s,c} x[n, .., .., g, c] w[g,k,r,s,c] + bias[g,k] )"""
    p, q = window.out(*x.shape[1:3])
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    y = np.zeros((x.shape[0], p, q, *wg.shape[:2]), x.dtype)
    for r, s, view in _taps(_padded(x, window), window, p, q):
        y += np.einsum("npqgc,gkc->npqgk", _grouped(view, groups), wg[:, :, r, s])
    y = y.reshape(*y.shape[:3], w.shape[0])
    if bias is not None:
        y = y + bias
    return np.maximum(y, 0) if activation == "relu" else y


def conv2d_dx(dy, w, window, size, *, groups=1):
    """dx[n, .., .., g, c] += sum_k dy[n,p,q,g,k] w[g,k,r,s,c]"""
    (top, _), (left, _) = window.padding
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    padded = _padded(np.zeros((dy.shape[0], *size, w.shape[3] * groups), dy.dtype), window)
    for r, s, view in _taps(padded, window, *dy.shape[1:3]):
        view += np.einsum("npqgk,gkc->npqgc", _grouped(dy, groups), wg[:, :, r, s]).reshape(view.shape)
    return padded[:, top : top + size[0], left : left + size[1]]


def conv2d_dw(x, dy, window, *, groups=1, accumulate=False):
    """dw[g,k,r,s,c] = sum_{n,p,q} dy[n,p,q,g,k] x[n, .., .., g, c]"""
    dyg = _grouped(dy, groups)
    dw = np.zeros((groups, dyg.shape[4], *window.kernel, x.shape[3] // groups), x.dtype)
    for r, s, view in _taps(_padded(x, window), window, *dy.shape[1:3]):
        dw[:, :, r, s] = np.einsum("npqgk,npqgc->gkc", dyg, _grouped(view, groups))
    return dw.reshape(-1, *dw.shape[2:])
