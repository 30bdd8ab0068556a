"""Upsampling, a row of pixels a job: of y in forward, of dx in backward, so that no two jobs write the same pixel.

Which pixels meet is worked out anew for each, from a few numbers; all channels of a pixel then go through one loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from ...core.shape import Pair
from .compile import kernel


def upsample2d(x: np.ndarray, scale: Pair, mode: str, *, out: np.ndarray, pool: Any) -> None:
    _upsample2d(x, scale, mode == "linear", out, work=2 * out.nbytes)


@kernel
def _upsample2d(x, scale, linear, y):
    rows = y.shape[1]
    for job in prange(y.shape[0] * rows):
        n, p = np.int64(job) // rows, np.int64(job) % rows
        if linear:
            lower, upper, share = _between(p, scale[0], x.shape[1])
            _linear_row(x[n, lower], x[n, upper], x.dtype.type(share), scale[1], y[n, p])
        else:
            _nearest_row(x[n, p // scale[0]], scale[1], y[n, p])


@njit
def _between(p, factor, size):
    """The pixel below the centre of output p, the one above, and the share of the one above."""
    centre = max((p + 0.5) / factor - 0.5, 0.0)
    lower = np.int64(centre)
    return lower, min(lower + 1, size - 1), centre - lower


@njit
def _nearest_row(x, factor, y):
    for q in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[q, c] = x[q // factor, c]


@njit
def _linear_row(x0, x1, down, factor, y):
    """x0, x1: (W, C), the rows above and below y (Q, C), and the share of the one below."""
    one = y.dtype.type(1)
    for q in range(y.shape[0]):
        left, right, share = _between(q, factor, x0.shape[0])
        across = y.dtype.type(share)
        for c in range(y.shape[1]):
            of_left = (one - down) * x0[left, c] + down * x1[left, c]
            of_right = (one - down) * x0[right, c] + down * x1[right, c]
            y[q, c] = (one - across) * of_left + across * of_right


def upsample2d_dx(dy: np.ndarray, scale: Pair, mode: str, *, out: np.ndarray, pool: Any) -> None:
    _upsample2d_dx(dy, scale, mode == "linear", out, work=2 * dy.nbytes)


@kernel
def _upsample2d_dx(dy, scale, linear, dx):
    rows = dx.shape[1]
    for job in prange(dx.shape[0] * rows):
        n, h = np.int64(job) // rows, np.int64(job) % rows
        dx[n, h] = 0
        for p in range(max(0, (h - 1) * scale[0]), min(dy.shape[1], (h + 2) * scale[0])):
            share = _share(p, h, scale[0], rows, linear)
            if share > 0:
                _collect_row(dy[n, p], share, scale[1], linear, dx[n, h])


@njit
def _share(p, h, factor, size, linear):
    """What output p takes of pixel h of `size`."""
    if not linear:
        return 1.0 if p // factor == h else 0.0
    lower, upper, share = _between(p, factor, size)
    return (1 - share if h == lower else 0.0) + (share if h == upper else 0.0)


@njit
def _collect_row(dy, of_row, factor, linear, dx):
    for w in range(dx.shape[0]):
        for q in range(max(0, (w - 1) * factor), min(dy.shape[0], (w + 2) * factor)):
            share = dx.dtype.type(of_row * _share(q, w, factor, dx.shape[0], linear))
            if share > 0:
                for c in range(dx.shape[1]):
                    dx[w, c] += share * dy[q, c]
