"""Gradients of a convolution: the same tile, with other addresses.

By the input it is a convolution again: dy, spread out by the stride and padded, with the filters rotated by half a turn
and channels exchanged (zeros between the pixels are multiplied along: a strided dx does stride^2 times the work).
By the weights it is a product whose rows are (r,s,c), each a place in the padded input, and whose sum runs over pixels:

    rows (r,s,c) x 6   |   for (n,p):  for q:    x[ (r,s,c) + (n,p) + q*stride*C ] * dy[ (n,p,q) ][ 16 output channels ]
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...core.shape import Pair, Shape, Window, prod
from . import depthwise
from .brgemm import Product, Steps, empty, lanes, multiply, product
from .conv2d import correlate, packed, padded
from .padding import Placement, place
from .panel import Layout, pack
from .simd import MR


def conv2d_dx(
    dy: Any,
    w: Any,
    window: Window,
    size: Pair,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    bias: Any = None,
    activation: str | None = None,
) -> None:
    """Gradient by the input; the op's definition is in kernels/ops/."""
    if depthwise.suits(w, groups):
        depthwise.dx(dy, w, window, out, pool, bias, activation)
        return
    k, r, s, c = w.shape
    dy = place(dy, _spread(size, window), pool)
    k //= groups
    rotated = Layout(r, s, k, -s * c, -c, r * s * c, c, 1, groups, k * r * s * c, (r * s - 1) * c)
    w = packed(w, rotated, pool)
    correlation = correlate(dy.dtype, dy.shape, out.shape, window.kernel, (1, 1), window.dilation, groups)
    multiply(correlation, dy, w, out, pool, bias, activation)


def _spread(size: Pair, window: Window) -> Placement:
    """Where dy stands in the image whose plain correlation with the rotated filters has `size`."""
    reach = [d * (k - 1) for d, k in zip(window.dilation, window.kernel, strict=True)]
    (top, _), (left, _) = window.padding
    return Placement(size[0] + reach[0], size[1] + reach[1], reach[0] - top, reach[1] - left, *window.stride)


def conv2d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    if depthwise.suits(out, groups):
        depthwise.dw(x, dy, window, out, pool, accumulate)
        return
    x = place(x, padded(x.shape[1:3], window), pool)
    pixels, k, terms = dy.size // dy.shape[3], dy.shape[3] // groups, out.size // dy.shape[3]
    in_place = _in_place(terms, k, dy.shape[3], dy.dtype)
    panels = dy if in_place else packed(dy, Layout(1, 1, pixels, 0, 0, dy.shape[3], k, 1, groups, k), pool)
    transposed = empty(pool, out.size, out.dtype)  # [g][(r,s,c)][k]
    multiply(_weights(x.dtype, x.shape, dy.shape, window, groups, in_place), x, panels, transposed, pool)
    pack(transposed, out.reshape(-1), Layout(1, 1, k, 0, 0, 1, terms, k, groups, terms * k), terms, accumulate)


def _in_place(rows: int, k: int, channels: int, dtype: np.dtype) -> bool:
    """Whether dy is read where it lies: its panels are whole, and packing would not pay.

    It does not where dy's rows are so short that the lines of a panel spread over the cache, or are read by few tiles.
    """
    return k % lanes(dtype) == 0 and (channels <= 2 * lanes(dtype) or rows <= 8 * MR)


@lru_cache(maxsize=256)
def _weights(dtype: np.dtype, x: Shape, dy: Shape, window: Window, groups: int, in_place: bool) -> Product:
    """The product of a padded image x with dy, in place or packed [g][panel][(n,p,q)][v], giving [g][(r,s,c)][k]."""
    _, height, width, channels = x
    n, p, q, k = dy[0], dy[1], dy[2], dy[3] // groups
    c, row, nr = channels // groups, width * channels, lanes(dtype)
    rows = prod(window.kernel) * c
    b_step, b_panel, b_group = (dy[3], nr, k) if in_place else (nr, n * p * q * nr, -(-k // nr) * n * p * q * nr)
    image_rows = np.stack(np.meshgrid(np.arange(n), np.arange(p), indexing="ij"), axis=-1).reshape(-1, 2)
    a_taps = image_rows @ (height * row, window.stride[0] * row)
    steps = Steps(
        rows=rows,
        columns=k,
        n1=window.kernel[1],
        n2=c,
        a0=window.dilation[0] * row,
        a1=window.dilation[1] * channels,
        a2=1,
        c0=window.kernel[1] * c * k,
        c1=c * k,
        c2=k,
        a_step=window.stride[1] * channels,
        b_step=b_step,
        b_panel=b_panel,
        groups=groups,
        a_group=c,
        b_group=b_group,
        c_group=rows * k,
    )
    return product(dtype, steps, np.stack([a_taps, np.arange(n * p) * q * b_step], axis=1), q)
