"""What a depthwise convolution consists of: the rectangles of a window, each a product of its driver.

A job is a run of rows, at most ROWS pixels high so that a border one pixel wide fills tiles too, with all its columns.
For the gradient by the weights pixels and taps change roles, and every job has a partial sum of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...core.shape import Pair, Shape, Window, prod
from .meetings import Axis, axis, distances, joined, rectangles
from .simd import MR

ROWS = 2 * MR  # of pixels in a job


class Product(NamedTuple):
    """Rows of a tile with digits (i1, i2), i2 < n2, and their distances in A and C; bounds of its taps."""

    rows: int
    n2: int
    a0: int
    a1: int
    a2: int
    c0: int
    c1: int
    c2: int
    first: int
    last: int


class Steps(NamedTuple):
    """Distances in numbers, not bytes; c_piece: between the results of the jobs of one sample."""

    a_sample: int
    b_sample: int
    c_sample: int
    c_piece: int
    a_step: int
    b_step: int
    channels: int


@dataclass(frozen=True)
class Plan:
    """The products of a sample; products: (jobs, products of a job) Products.   taps: (T, 3), for the tile."""

    products: np.ndarray
    taps: np.ndarray
    steps: Steps
    flops: int


@lru_cache(maxsize=256)
def correlation(window: Window, size: Pair, adjoint: bool, c: int, dtype: np.dtype) -> Plan:
    """For an image x of `size`; adjoint: for its dx, where A is dy."""
    a, y = (window.out(*size), size) if adjoint else (size, window.out(*size))
    rows, columns = axis(size[0], window, 0, adjoint, ROWS), axis(size[1], window, 1, adjoint, y[1])
    steps = Steps(prod(a) * c, 0, prod(y) * c, 0, columns.at_tap * c, columns.tap * c, c)
    return _plan((rows, columns), (*a, c), (*y, c), window.kernel, steps, window, size, dtype)


@lru_cache(maxsize=256)
def gradient(window: Window, size: Pair, c: int, dtype: np.dtype) -> Plan:
    """For the partial sums of dw, one for each job; A is x, of `size`, B is dy."""
    y, piece = window.out(*size), prod(window.kernel) * c
    rows, columns = axis(size[0], window, 0, False, ROWS), axis(size[1], window, 1, False, y[1])
    steps = Steps(prod(size) * c, prod(y) * c, len(rows.runs) * piece, piece, columns.at * c, c, c)
    axes = rows.exchanged(), columns.exchanged()
    return _plan(axes, (*size, c), (*window.kernel, c), y, steps, window, size, dtype)


def _plan(
    axes: tuple[Axis, Axis],
    a: Shape,
    y: Shape,
    kernel: Shape,
    steps: Steps,
    window: Window,
    size: Pair,
    dtype: np.dtype,
) -> Plan:
    """The Plan of all rectangles of C, of shape y."""
    (a1, a2), (c1, c2), c = distances(a), distances(y), steps.channels
    rows, columns = axes
    products: list[Product] = []
    taps: list[np.ndarray] = []
    for r in rectangles(axes, a, y, kernel):
        first = len(taps)
        taps.extend(joined(r.taps * (1, c), 1, steps.a_step, steps.b_step))
        products.append(
            Product(
                rows=prod(r.places),
                n2=r.places[1],
                a0=r.a,
                a1=rows.at * a1,
                a2=columns.at * a2,
                c0=r.c,
                c1=rows.place * c1,
                c2=columns.place * c2,
                first=first,
                last=len(taps),
            )
        )
    fields = np.dtype([(name, np.int64) for name in Product._fields])
    in_bytes = np.array(taps, np.int64).reshape(-1, 3) * (dtype.itemsize, dtype.itemsize, 1)
    flops = 2 * prod(window.kernel) * prod(window.out(*size)) * c
    return Plan(np.array(products, fields).reshape(len(axes[0].runs), -1), in_bytes, steps, flops)
