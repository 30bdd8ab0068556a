"""Packing: B's numbers in the order in which the tile reads them.

    packed[g][panel][k][v] = src[start + g*group + k0*s0 + k1*s1 + k2*s2 + (panel*width + v)*column]    k = (k0, k1, k2)

One rule serves matrices, transposed matrices, rotated filters and the transposition of a result. Columns that do not
exist are zeros. What lies along the source's rows is copied in vectors (column = 1) or transposed in squares of
registers (s2 = 1), because packing must cost little beside a product that reads each number only a few times.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from .compile import kernel
from .simd import WIDTH, Vectors

CHUNK = 8  # panels of a job: they are filled together, so that a row of the source is read in long stretches


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
    _pack(src.reshape(-1), dst, layout, width, int(accumulate), work=dst.nbytes)
    return dst


@kernel
def _pack(src, dst, s, width, accumulate):
    panels = -(-s.columns // width)
    chunks = -(-panels // CHUNK)
    terms = s.k0 * s.k1 * s.k2
    for index in prange(s.groups * chunks):
        job = np.int64(index)
        group, chunk = divmod(job, chunks)
        first = s.start + group * s.group + chunk * CHUNK * width * s.column
        columns = min(CHUNK * width, s.columns - chunk * CHUNK * width)
        at = (group * panels + chunk * CHUNK) * terms * width
        for k0 in range(s.k0):
            for k1 in range(s.k1):
                here = first + k0 * s.s0 + k1 * s.s1
                if s.column == 1:
                    _copy(src, here, s.s2, columns, dst, at, s.k2, terms * width, width, accumulate)
                else:
                    _transpose(src, here, s.s2, s.column, columns, dst, at, s.k2, terms * width, width, accumulate)
                at += s.k2 * width


@njit
def _copy(src, here, step, columns, dst, at, terms, panel, width, accumulate):
    """dst[at + p*panel + k*width + v] = src[here + k*step + p*width + v], p*width + v < columns, row after row."""
    lanes = WIDTH // src.itemsize
    for k in range(terms):
        i, j = here + k * step, at + k * width
        for first in range(0, columns, width):
            valid = min(width, columns - first)
            for v in range(0, valid - lanes + 1, lanes):
                copy_vector(src, i + v, dst, j + v, accumulate, WIDTH)
            for v in range(valid // lanes * lanes, valid):
                dst[j + v] = dst[j + v] + src[i + v] if accumulate else src[i + v]
            for v in range(valid, width):
                dst[j + v] = 0
            i, j = i + width, j + panel


@njit
def _transpose(src, here, step, column, columns, dst, at, terms, panel, width, accumulate):
    """dst[at + p*panel + k*width + v] = src[here + k*step + (p*width + v)*column], p*width + v < columns, by panels."""
    lanes = WIDTH // src.itemsize
    i, j = here, at
    for first in range(0, columns, width):
        valid = min(width, columns - first)
        k_done, v_done = (terms // lanes * lanes, valid // lanes * lanes) if step == 1 else (0, 0)
        for k in range(0, k_done, lanes):
            for v in range(0, v_done, lanes):
                transpose_square(src, i + k + v * column, column, dst, j + k * width + v, width, accumulate, WIDTH)
        for k in range(terms):
            for v in range(v_done if k < k_done else 0, valid):
                x = src[i + k * step + v * column]
                dst[j + k * width + v] = dst[j + k * width + v] + x if accumulate else x
            for v in range(valid, width):
                dst[j + k * width + v] = 0
        i, j = i + width * column, j + panel


@intrinsic(prefer_literal=True)
def copy_vector(typing: Any, src: Any, i: Any, dst: Any, j: Any, accumulate: Any, width: Any) -> Any:
    """dst[j + l] = src[i + l] for the lanes l of one register; accumulate: not 0 adds."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, src.dtype, width.literal_value)
        x = e.load(_address(context, e, src, args[0], args[1]))
        _put(e, x, _address(context, e, dst, args[2], args[3]), args[4])
        return context.get_dummy_value()

    return types.void(src, types.int64, dst, types.int64, types.int64, width), emit


@intrinsic(prefer_literal=True)
def transpose_square(
    typing: Any, src: Any, i: Any, src_step: Any, dst: Any, j: Any, dst_step: Any, accumulate: Any, width: Any
) -> Any:
    """dst[j + m*dst_step + l] = src[i + l*src_step + m] for the lanes l and m of a register; accumulate: not 0 adds.

    The square stays in registers: halves change places, then quarters of halves, and so on.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, src.dtype, width.literal_value)
        at, step = (_address(context, e, src, args[0], args[1]), builder.mul(args[2], e.integer(e.size)))
        rows = [e.load(builder.add(at, builder.mul(step, e.integer(m)))) for m in range(e.lanes)]
        distance = e.lanes // 2
        while distance:
            rows = _swap(e, rows, distance)
            distance //= 2
        at, step = (_address(context, e, dst, args[3], args[4]), builder.mul(args[5], e.integer(e.size)))
        for m, row in enumerate(rows):
            _put(e, row, builder.add(at, builder.mul(step, e.integer(m))), args[6])
        return context.get_dummy_value()

    return types.void(src, *[types.int64] * 2, dst, *[types.int64] * 3, width), emit


def _swap(e: Vectors, rows: list, d: int) -> list:
    """Exchanges the off-diagonal squares of side d in every square of side 2d."""
    new = list(rows)
    for m in range(e.lanes):
        if not m & d:
            x, y = rows[m], rows[m + d]
            new[m] = e.shuffle(x, y, [e.lanes + lane - d if lane & d else lane for lane in range(e.lanes)])
            new[m + d] = e.shuffle(x, y, [e.lanes + lane if lane & d else lane + d for lane in range(e.lanes)])
    return new


def _put(e: Vectors, value: Any, address: Any, accumulate: Any) -> None:
    added = e.b.fadd(e.load(address), value)
    e.store(e.b.select(e.b.icmp_signed("!=", accumulate, e.integer(0)), added, value), address)


def _address(context: Any, e: Vectors, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, e.b, array).data
    return e.b.add(e.b.ptrtoint(data, index.type), e.b.mul(index, e.integer(e.size)))
