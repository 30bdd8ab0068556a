"""Packing: B's numbers in the order in which the tile reads them.

    packed[g][panel][k][v] = src[start + g*group + k0*s0 + k1*s1 + k2*s2 + (panel*width + v)*column]    k = (k0, k1, k2)

One rule serves matrices, transposed matrices, rotated filters and the transposition of a result. Columns that do not
exist are zeros. What lies along the source's rows is copied in vectors (column = 1) or transposed in squares of
registers (s2 = 1), because packing must cost little beside a product that reads each number only a few times. A few
rows are copied into several panels before the next few: taken panel by panel, each line of a wide source is on another
page and cannot be foreseen (1.5 cycles a number instead of 0.5); taken row by row, a line is written to all panels at
once, which lie a power of two apart and collide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from .compile import kernel
from .registers import copy_vectors, transpose_square
from .scratch import empty
from .simd import VECTORS, WIDTH, lanes

CHUNK = 8  # panels of a job
PIECE = 8  # terms that are copied for all of them before the next


class Layout(NamedTuple):
    """Where the numbers are: k's digits and their distances, the columns and theirs, the groups and theirs."""

    k0: int
    k1: int
    k2: int
    s0: int
    s1: int
    s2: int
    columns: int
    column: int
    groups: int = 1
    group: int = 0
    start: int = 0

    def size(self, width: int) -> int:
        """How many numbers the packed panels hold."""
        return self.groups * -(-self.columns // width) * width * self.k0 * self.k1 * self.k2


def pack(src: Any, dst: np.ndarray, layout: Layout, width: int, accumulate: bool = False) -> np.ndarray:
    """Fills dst, flat, of layout.size(width) numbers, or adds to it."""
    _pack(src.reshape(-1), dst, layout, width, accumulate, work=dst.nbytes)
    return dst


def packed(src: Any, layout: Layout, pool: Any) -> np.ndarray:
    """Panels of src, as wide as the tile."""
    nr = lanes(src.dtype)
    return pack(src, empty(pool, layout.size(nr), src.dtype), layout, nr)


@kernel
def _pack(src, dst, s, width, accumulate):
    panels = -(-s.columns // width)
    chunks = -(-panels // CHUNK)
    terms = s.k0 * s.k1 * s.k2
    for index in prange(s.groups * chunks):
        job = np.int64(index)
        group, chunk = divmod(job, chunks)
        piece = PIECE if s.column == 1 else max(1, s.k2)
        for k in range(s.k0 * s.k1):
            row = s.start + group * s.group + k // s.k1 * s.s0 + k % s.k1 * s.s1
            for first in range(0, s.k2, piece):
                here = min(piece, s.k2 - first)
                for panel in range(chunk * CHUNK, min(panels, (chunk + 1) * CHUNK)):
                    i = row + first * s.s2 + panel * width * s.column
                    j = ((group * panels + panel) * terms + k * s.k2 + first) * width
                    valid = min(width, s.columns - panel * width)
                    fill(src, i, s.s2, s.column, valid, dst, j, here, width, accumulate)


@njit
def fill(src, i, step, column, valid, dst, j, terms, width, accumulate):
    """dst[j + k*width + v] = src[i + k*step + v*column] for v < valid, and 0 for the other v; or adds."""
    if column == 1:
        if valid == VECTORS * (WIDTH // src.itemsize) == width and not accumulate:
            copy_vectors(src, i, step, dst, j, width, terms, VECTORS, WIDTH)
        else:
            copy(src, i, step, dst, j, width, terms, valid, accumulate)
    elif step == 1:
        turn(src, i, column, dst, j, width, terms, valid, accumulate)
    else:
        for k in range(terms):
            for v in range(valid):
                put(dst, j + k * width + v, src[i + k * step + v * column], accumulate)
    for k in range(terms if valid < width and not accumulate else 0):
        for v in range(valid, width):
            dst[j + k * width + v] = 0


@njit
def copy(src, i, src_step, dst, j, dst_step, rows, columns, accumulate):
    """dst[j + m*dst_step + l] = src[i + m*src_step + l]"""
    for m in range(rows):
        for v in range(columns):
            put(dst, j + m * dst_step + v, src[i + m * src_step + v], accumulate)


@njit
def copy_run(src, i, dst, j, length):
    """dst[j + l] = src[i + l], l < length; the last register may overlap the one before."""
    lanes = WIDTH // src.itemsize
    if length < lanes:
        for v in range(length):
            dst[j + v] = src[i + v]
        return
    done = length // (4 * lanes) * 4 * lanes
    copy_vectors(src, i, 4 * lanes, dst, j, 4 * lanes, done // (4 * lanes), 4, WIDTH)
    copy_vectors(src, i + done, lanes, dst, j + done, lanes, (length - done) // lanes, 1, WIDTH)
    copy_vectors(src, i + length - lanes, 0, dst, j + length - lanes, 0, 1, 1, WIDTH)


@njit
def turn(src, i, src_step, dst, j, dst_step, rows, columns, accumulate):
    """dst[j + m*dst_step + l] = src[i + l*src_step + m], m < rows, l < columns; or adds."""
    lanes = WIDTH // src.itemsize
    square_rows, square_columns = rows // lanes * lanes, columns // lanes * lanes
    for v in range(0, square_columns, lanes):
        for m in range(0, square_rows, lanes):
            at = i + v * src_step + m
            transpose_square(src, at, src_step, dst, j + m * dst_step + v, dst_step, accumulate, WIDTH)
    for m in range(rows):
        for v in range(square_columns if m < square_rows else 0, columns):
            put(dst, j + m * dst_step + v, src[i + v * src_step + m], accumulate)


@njit
def put(dst, j, x, accumulate):
    dst[j] = dst[j] + x if accumulate else x
