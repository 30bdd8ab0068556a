"""Gradients of a convolution: the same tile, with other addresses.

By the input it is the adjoint: the same rectangles, read by the pixels of x. By the weights it is a product whose rows are
(r,s,c), each a place in the padded input, and whose sum runs over pixels:

    rows (r,s,c) x 6   |   for (n,p):  for q:    x[ (r,s,c) + (n,p) + q*stride*C ] * dy[ (n,p,q) ][ 16 output channels ]
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...core.shape import Pair, Shape, Window, prod
from . import depthwise, winograd
from .brgemm import multiply
from .conv2d import matrix, pointwise
from .correlation import correlate
from .gemm import gemm
from .padding import padded, place
from .panel import Layout, pack, packed
from .product import Part, Product, product
from .scratch import empty
from .simd import MR, lanes


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
    elif winograd.suits(dy, w.shape, window, groups, size):
        winograd.dx(dy, w, window, out, pool, bias=bias, activation=activation)
    elif pointwise(window, groups):
        dy, w, dx = matrix(dy), w.reshape(len(w), -1), matrix(out)
        gemm(dy, w, out=dx, pool=pool, bias=bias, activation=activation)
    else:
        correlate(dy, w, window, out=out, pool=pool, groups=groups, adjoint=True, bias=bias, activation=activation)


def conv2d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    if depthwise.suits(out, groups):
        depthwise.dw(x, dy, window, out, pool, accumulate)
        return
    x = place(x, padded(x.shape[1:3], window), pool)
    steps = (1, *window.stride), (1, *window.dilation)
    by_weight(x[None], dy[None], out[:, None], *steps, groups, accumulate, pool)


def by_weight(
    x: Any, dy: Any, dw: Any, stride: Shape, dilation: Shape, groups: int, accumulate: bool, pool: Any
) -> None:
    """dw (K, T, R, S, C/G) of x (N, D, H, W, C), padded already, and dy (N, O, P, Q, K): a product for each t."""
    channels, depth = dy.shape[4], dw.shape[1]
    pixels, k, terms = dy.size // channels, channels // groups, dw.size // channels
    in_place = _in_place(terms, k, channels, dy.dtype)
    panels = dy if in_place else packed(dy, Layout(1, 1, pixels, 0, 0, channels, k, 1, groups, k), pool)
    transposed = empty(pool, dw.size, dw.dtype)  # [g][(t,r,s,c)][k]
    weights = _weights(x.dtype, x.shape, dy.shape, dw.shape[1:4], stride, dilation, groups, in_place)
    for t in range(depth):
        plane = t * dilation[0] * prod(x.shape[2:])
        multiply(weights, x.reshape(-1)[plane:], panels, transposed[t * terms // depth * k :])
    pack(transposed, dw.reshape(-1), Layout(1, 1, k, 0, 0, 1, terms, k, groups, terms * k), terms, accumulate)


def _in_place(rows: int, k: int, channels: int, dtype: np.dtype) -> bool:
    """Whether dy is read where it lies: its panels are whole, and packing would not pay.

    It does not where dy's rows are so short that the lines of a panel spread over the cache, or are read by few tiles.
    """
    return k % lanes(dtype) == 0 and (channels <= 2 * lanes(dtype) or rows <= 8 * MR)


@lru_cache(maxsize=256)
def _weights(
    dtype: np.dtype, x: Shape, dy: Shape, kernel: Shape, stride: Shape, dilation: Shape, groups: int, in_place: bool
) -> Product:
    """The product of padded x with dy, in place or packed [g][panel][(n,o,p,q)][v], giving one t of [g][(t,r,s,c)][k]."""
    _, deep, height, width, channels = x
    n, o, p, q, k = *dy[:4], dy[4] // groups
    c, row, nr, pixels = channels // groups, width * channels, lanes(dtype), prod(dy[:4])
    rows = kernel[1] * kernel[2] * c
    b_step, b_panel, b_group = (dy[4], nr, k) if in_place else (nr, pixels * nr, -(-k // nr) * pixels * nr)
    image_rows = np.stack(np.meshgrid(np.arange(n), np.arange(o), np.arange(p), indexing="ij"), axis=-1).reshape(-1, 3)
    a_taps = image_rows @ (deep * height * row, stride[0] * height * row, stride[1] * row)
    runs = np.stack([a_taps, np.arange(n * o * p) * q * b_step, np.full(n * o * p, q)], axis=1)
    part = Part(
        rows=rows,
        columns=k,
        first=0,
        last=len(runs),
        n1=kernel[2],
        n2=c,
        a0=dilation[1] * row,
        a1=dilation[2] * channels,
        a2=1,
        c0=kernel[2] * c * k,
        c1=c * k,
        c2=k,
        a_step=stride[2] * channels,
        b_step=b_step,
        b_panel=b_panel,
        a_group=c,
        b_group=b_group,
        c_group=kernel[0] * rows * k,
    )
    return product(dtype, [part], runs, groups)
