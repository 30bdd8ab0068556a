"""Convolution: a product whose rows are pixels and whose sum runs over the taps of the window.

No matrix of patches is ever built. Output pixel (n, p, q) starts at one address of the padded input, filter tap (r, s)
is one distance from it, and the same for all pixels; the tile takes exactly that. Neighbouring taps of a filter row are
neighbours in memory (channels last, no dilation), so a whole row of S*C terms is one run.

    pixels (n,p,q) x 6   |   for r:  for (s,c):     x[ pixel + r*row + (s,c) ]  *  w[ (r,s,c) ][ 16 output channels ]
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...core.shape import Pair, Shape, Window
from . import depthwise, winograd
from .brgemm import multiply
from .padding import Placement, place
from .panel import Layout, pack
from .product import Part, Product, product
from .scratch import empty
from .simd import lanes


def conv2d(
    x: Any,
    w: Any,
    window: Window,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    bias: Any = None,
    activation: str | None = None,
) -> None:
    """y = act(x * w + bias), cross-correlation; the op's definition is in kernels/ops/."""
    if depthwise.suits(w, groups):
        depthwise.forward(x, w, window, out, pool, bias, activation)
        return
    if winograd.suits(x, w.shape, window, groups, x.shape[1:3]):
        winograd.forward(x, w, window, out, pool, bias, activation)
        return
    x = place(x, padded(x.shape[1:3], window), pool)
    k, r, s, c = w.shape
    filters = Layout(1, 1, r * s * c, 0, 0, 1, k // groups, r * s * c, groups, k // groups * r * s * c)
    w = packed(w, filters, pool)
    correlation = correlate(
        x.dtype, x.shape, out.shape, (1, *window.kernel), (1, *window.stride), (1, *window.dilation), groups
    )
    multiply(correlation, x, w, out, bias=bias, activation=activation)


def padded(size: Pair, window: Window) -> Placement:
    """Where an input of size (H, W) stands in its padded copy."""
    (top, bottom), (left, right) = window.padding
    return Placement(size[0] + top + bottom, size[1] + left + right, top, left)


def packed(src: Any, layout: Layout, pool: Any) -> np.ndarray:
    """Panels of src, as wide as the tile."""
    nr = lanes(src.dtype)
    return pack(src, empty(pool, layout.size(nr), src.dtype), layout, nr)


@lru_cache(maxsize=256)
def correlate(
    dtype: np.dtype, x: Shape, y: Shape, kernel: Shape, stride: Shape, dilation: Shape, groups: int
) -> Product:
    """The product of x (D, H, W, C), padded already, with filters packed [g][panel][(t,r,s,c)][v], giving y (O, P, Q, K).

    D is the depth of one sample; or the samples of a batch of images, over which the window steps one by one.
    """
    _, height, width, channels = x
    o, p, q, k = y
    c, row, nr = channels // groups, width * channels, lanes(dtype)
    taps = np.stack(np.meshgrid(*map(np.arange, kernel), indexing="ij"), axis=-1).reshape(-1, 3)
    a_taps = taps @ (dilation[0] * height * row, dilation[1] * row, dilation[2] * channels)
    b_taps = np.arange(len(taps)) * c * nr
    run = kernel[2] if dilation[2] == 1 and groups == 1 else 1  # taps that follow each other in memory
    runs = np.stack([a_taps, b_taps, np.full(len(taps), run * c)], axis=1)[::run]
    part = Part(
        rows=o * p * q,
        columns=k // groups,
        first=0,
        last=len(runs),
        n1=p,
        n2=q,
        a0=stride[0] * height * row,
        a1=stride[1] * row,
        a2=stride[2] * channels,
        c0=p * q * k,
        c1=q * k,
        c2=k,
        a_step=1,
        b_step=nr,
        b_panel=len(taps) * c * nr,
        a_group=c,
        b_group=-(-(k // groups) // nr) * len(taps) * c * nr,
        c_group=k // groups,
    )
    return product(dtype, [part], runs, groups)
