"""The four stages of a Winograd convolution, and the two orders in which they are worked through.

    V[xi][t][c]        = B^T d B        of tile t's window, channel c; xi: one of (m + 2)^2 points
    U[panel][xi][c][v] = G g G^T        of the filter from c to output channel panel*NR + v
    M[panel][xi][t][v] = sum_c V[xi][t][c] * U[panel][xi][c][v]        by the tile, as any other product
    y                  = act( A^T M A + bias )

V and M are more than twice as large as what they stand for, so they must not leave the cache: where there are many tiles
they are made for a block of tiles at a time, with U made before. Where there are few, U is larger than all the rest: then
V is made before, and U one panel at a time, used at once. Each number is computed in the same way in both orders, so its
bits are the same.

The planes xi lie an odd number of cache lines apart: a power of two, and all of them would fall on the same set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel, specialised
from .panel import transpose_square
from .simd import MR, VECTORS, WIDTH
from .tile import tile
from .winograd_transform import FILTER, INPUT, LINE, OUTPUT, VECTORS_OF_LINE, transform, transform_last, transform_rows

SIZE = 4  # bytes of a number
NR = VECTORS * WIDTH // SIZE
CHANNELS = LINE // SIZE  # of a line
M = 4  # of F(M x M): the functions below are compiled for each


def _inputs(x, v, room, table, padding, s, first, last):
    """V of the tiles [first, last). A column's first transform serves both tiles that it belongs to."""
    side, row = M + 2, (M * s.segment + 2) * LINE
    t = first
    while t < last:
        sample, rest = divmod(t, s.tile_rows * s.tile_columns)
        i, j = divmod(rest, s.tile_columns)
        count = min(s.segment, s.tile_columns - j, last - t)
        for a in range(side):
            h = i * M + a - s.top
            table[a] = x + (sample * s.height + h) * s.width * s.c * SIZE if 0 <= h < s.height else padding
        for c in range(0, s.c, CHANNELS):
            for column in range(M * count + 2):
                w = j * M + column - s.left
                at = room.ctypes.data + column * LINE
                if 0 <= w < s.width:
                    from_row = (w * s.c + c) * SIZE
                    transform_rows(table.ctypes.data, from_row, at, row, M, INPUT, VECTORS_OF_LINE, WIDTH)
                else:
                    for a in range(side):
                        for b in range(CHANNELS):
                            room[(a * row + column * LINE) // SIZE + b] = 0
            for k in range(count):
                for a in range(side):
                    at = room.ctypes.data + a * row + M * k * LINE
                    to = v + ((t - first + k) * s.c + c) * SIZE + a * side * s.v_plane
                    transform(at, LINE, to, s.v_plane, M, INPUT, VECTORS_OF_LINE, WIDTH)
        t += count


def _filters(w, u, room, s, first, last):
    """U of the panels [first, last). Filters lie the other way round where they give a gradient: rotated, c before k."""
    side, lanes = M + 2, WIDTH // SIZE
    row = CHANNELS * NR * SIZE  # of a tap in room
    scratch = room.ctypes.data + 9 * row
    for panel in range(first, last):
        columns = min(NR, s.k - panel * NR)
        for c in range(0, s.c, CHANNELS):
            if not s.rotated:
                for tap in range(9):
                    for k in range(0, columns, lanes):
                        for b in range(0, CHANNELS, lanes):
                            at = ((panel * NR + k) * 9 + tap) * s.c + c + b
                            transpose_square(w, at, 9 * s.c, room, (tap * CHANNELS + b) * NR + k, NR, 0, WIDTH)
            for b in range(CHANNELS):
                for k in range(0, columns, CHANNELS):
                    at, step = room.ctypes.data + (b * NR + k) * SIZE, row
                    if s.rotated:
                        at = w.ctypes.data + (((c + b) * 9 + 8) * s.k + panel * NR + k) * SIZE
                        step = -s.k * SIZE
                    for tap in range(3):
                        to = scratch + tap * LINE
                        transform(at + tap * step, 3 * step, to, 3 * LINE, M, FILTER, VECTORS_OF_LINE, WIDTH)
                    to = u + (panel - first) * side * side * s.u_plane + ((c + b) * NR + k) * SIZE
                    for a in range(side):
                        plane = to + a * side * s.u_plane
                        transform(scratch + 3 * a * LINE, LINE, plane, s.u_plane, M, FILTER, VECTORS_OF_LINE, WIDTH)


def _products(v, u, m, tables, taps, padding, s, tiles, panels):
    """M of the first `tiles` tiles and some panels."""
    planes = (M + 2) * (M + 2)
    rows = -(-tiles // MR) * MR
    for t in range(rows):
        tables[0, t] = v + min(t, tiles - 1) * s.c * SIZE
        tables[1, t] = m + min(t, tiles - 1) * NR * SIZE
    for xi in range(planes):
        for block in range(taps.shape[1]):
            for panel in range(panels):
                for t in range(0, rows, MR):
                    tile(
                        tables[0].ctypes.data + 8 * t,
                        tables[1].ctypes.data + 8 * t,
                        (panel * planes + xi) * s.m_plane,
                        tiles - t,
                        taps[xi, block].ctypes.data,
                        1,
                        SIZE,
                        u + (panel * planes + xi) * s.u_plane,
                        NR * SIZE,
                        NR,
                        padding,
                        np.float32(-np.inf),
                        1 if block > 0 else 0,
                        MR,
                        VECTORS,
                        WIDTH,
                    )


def _outputs(m, y, bias, room, s, first, last, first_panel, last_panel, floor):
    """The tiles [first, last) of y, channels of the panels [first_panel, last_panel)."""
    side, scratch = M + 2, room.ctypes.data
    for t in range(first, last):
        sample, rest = divmod(t, s.tile_rows * s.tile_columns)
        i, j = divmod(rest, s.tile_columns)
        height, width = min(M, s.p - i * M), min(M, s.q - j * M)
        pixel = (sample * s.p + i * M) * s.q + j * M
        for panel in range(first_panel, last_panel):
            plane = m + (panel - first_panel) * side * side * s.m_plane
            for k in range(panel * NR, min(s.k, (panel + 1) * NR), CHANNELS):
                at = plane + ((t - first) * NR + k - panel * NR) * SIZE
                for b in range(side):
                    to, step = scratch + b * LINE, side * s.m_plane
                    transform(at + b * s.m_plane, step, to, side * LINE, M, OUTPUT, VECTORS_OF_LINE, WIDTH)
                for a in range(height):
                    transform_last(
                        scratch + a * side * LINE,
                        LINE,
                        y + ((pixel + a * s.q) * s.k + k) * SIZE,
                        s.k * SIZE,
                        width,
                        bias + k * SIZE,
                        floor,
                        M,
                        VECTORS_OF_LINE,
                        WIDTH,
                    )


# ----------------------------------------------------------------------------------------------------------- kernels


def _all_inputs(x, v, padding, plan, room, tables):
    s, slots = plan[0], room.shape[0]
    for index in prange(slots):
        slot = np.int64(index)
        first, last = slot * s.tiles // slots, (slot + 1) * s.tiles // slots
        to = v.ctypes.data + first * s.c * SIZE
        inputs(x.ctypes.data, to, room[slot], tables[slot, 0], padding.ctypes.data, s, first, last)


def _all_filters(w, u, plan, room):
    s, slots = plan[0], room.shape[0]
    for index in prange(slots):
        slot = np.int64(index)
        first, last = slot * s.panels // slots, (slot + 1) * s.panels // slots
        filters(w, u.ctypes.data + first * (M + 2) * (M + 2) * s.u_plane, room[slot], s, first, last)


def _few_tiles(w, v, y, bias, padding, plan, taps, scratch, room, tables, floor):
    s, slots = plan[0], room.shape[0]
    for index in prange(slots):
        slot = np.int64(index)
        m = scratch[slot].ctypes.data
        u = m + (M + 2) * (M + 2) * s.m_plane
        for panel in range(slot * s.panels // slots, (slot + 1) * s.panels // slots):
            filters(w, u, room[slot], s, panel, panel + 1)
            products(v.ctypes.data, u, m, tables[slot], taps, padding.ctypes.data, s, s.tiles, 1)
            outputs(m, y.ctypes.data, bias.ctypes.data, room[slot], s, 0, s.tiles, panel, panel + 1, floor)


def _many_tiles(x, u, y, bias, padding, plan, taps, scratch, room, tables, floor):
    s, slots = plan[0], room.shape[0]
    for index in prange(slots):
        slot = np.int64(index)
        m = scratch[slot].ctypes.data
        v = m + s.panels * (M + 2) * (M + 2) * s.m_plane
        for block in range(slot * s.blocks // slots, (slot + 1) * s.blocks // slots):
            first, last = block * s.tiles // s.blocks, (block + 1) * s.tiles // s.blocks
            inputs(x.ctypes.data, v, room[slot], tables[slot, 0], padding.ctypes.data, s, first, last)
            products(v, u.ctypes.data, m, tables[slot], taps, padding.ctypes.data, s, last - first, s.panels)
            outputs(m, y.ctypes.data, bias.ctypes.data, room[slot], s, first, last, 0, s.panels, floor)


def _kernels(m: int) -> dict[str, Any]:
    """The kernels of F(m x m)."""
    stages = {f.__name__[1:]: f for f in (_inputs, _filters, _products, _outputs)}
    known: dict[str, Any] = {name: njit(specialised(f, f"_{name}_{m}", M=m)) for name, f in stages.items()}
    loops = _all_inputs, _all_filters, _few_tiles, _many_tiles
    return {f.__name__[1:]: kernel(specialised(f, f"{f.__name__}_{m}", M=m, **known)) for f in loops}


KERNELS = {m: _kernels(m) for m in (2, 4)}
