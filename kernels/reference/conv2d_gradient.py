"""The two gradients of a convolution by definition: the forward's walk over taps, read the other way round."""

from __future__ import annotations

import numpy as np

from .conv2d import grouped, pad, taps
from .gemm import epilogue


def conv2d_dx(dy, w, window, size, *, groups=1, **more):
    """dx[n, .., .., g, c] += sum_k dy[n,p,q,g,k] w[g,k,r,s,c]"""
    (top, _), (left, _) = window.padding
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    padded = pad(np.zeros((dy.shape[0], *size, w.shape[3] * groups), dy.dtype), window)
    for r, s, view in taps(padded, window, *dy.shape[1:3]):
        view += np.einsum("npqgk,gkc->npqgc", grouped(dy, groups), wg[:, :, r, s]).reshape(view.shape)
    return epilogue(padded[:, top : top + size[0], left : left + size[1]], **more)


def conv2d_dw(x, dy, window, *, groups=1, accumulate=False):
    """dw[g,k,r,s,c] = sum_{n,p,q} dy[n,p,q,g,k] x[n, .., .., g, c]"""
    dyg = grouped(dy, groups)
    dw = np.zeros((groups, dyg.shape[4], *window.kernel, x.shape[3] // groups), x.dtype)
    for r, s, view in taps(pad(x, window), window, *dy.shape[1:3]):
        dw[:, :, r, s] = np.einsum("npqgk,npqgc->gkc", dyg, grouped(view, groups))
    return dw.reshape(-1, *dw.shape[2:])
