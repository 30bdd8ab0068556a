"""The four stages of a Winograd convolution, and the two orders in which they are worked through.

    V[xi][t][c]        = B^T d B        of tile t's window, channel c; xi: one of (m + 2)^2 points
    U[panel][xi][c][v] = G g G^T        of the filter from c to output channel panel*NR + v
    M[panel][xi][t][v] = sum_c V[xi][t][c] * U[panel][xi][c][v]        by the tile, as any other product
    y                  = act( scale * A^T M A + bias + residual )

V and M are more than twice as large as what they stand for, so they must not leave the cache: where there are many tiles
they are made for a block of tiles at a time, with U made before. Where there are few, U is larger than all the rest: then
V is made before, and U one panel and one block of the sum at a time, used at once. Each number is computed in the same
way in both orders, so its bits are the same.

The planes xi lie an odd number of cache lines apart: a power of two, and all of them would fall on the same set.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit, prange

from .brgemm import addresses, forms
from .compile import Kernel, kernel, specialised
from .exponential import normal_distribution
from .panel import turn
from .registers import stack
from .simd import MR, ROW_BYTES, SHORT, VECTORS, WIDTH
from .tile import tiles
from .winograd_transform import FILTER, INPUT, LINE, OUTPUT, VECTORS_OF_LINE, transform, transform_last, transform_rows

SIZE = 4  # bytes of a number
NR = ROW_BYTES // SIZE
CHANNELS = LINE // SIZE  # of a line
COLUMNS = min(CHANNELS, NR)  # that are transformed at once: a line, or a row of a panel where that is shorter
VECTORS_OF_COLUMNS = COLUMNS * SIZE // WIDTH
M = 4  # of F(M x M): the functions below are compiled for each

MOST_TILES = 64  # of a block
SEGMENT = 14  # tiles side by side whose first transforms are kept at once
PIECE = 64  # channels whose filters are turned at once: in long stretches, or the memory would not keep up
# Scratch of a stage, in bytes: of lines that are transformed once, or of nine taps of filters; addresses of rows.
ROOM = max(6 * (4 * SEGMENT + 2) * LINE, 9 * PIECE * ROW_BYTES + 18 * LINE)
TABLE = MOST_TILES + MR
TABLES, WINDOW = 2 * 8 * TABLE, 8 * 6


@njit
def address(a):
    """Of an array, signed: Numba takes it for unsigned, and makes a float of its sum with a signed distance."""
    return np.int64(a.ctypes.data)


def inputs(x, v, padding, s, first, last):
    """V of the tiles [first, last). A column's first transform serves both tiles that it belongs to."""
    room = carray(stack(np.float32(0), ROOM), ROOM // SIZE)
    table = carray(stack(1, WINDOW), M + 2)  # of a row of tiles' rows of x; rows outside are padding
    side, row = M + 2, (M * SEGMENT + 2) * LINE
    t = first
    while t < last:
        sample, rest = divmod(t, s.tile_rows * s.tile_columns)
        i, j = divmod(rest, s.tile_columns)
        count = min(SEGMENT, s.tile_columns - j, last - t)
        for a in range(side):
            h = i * M + a - s.top
            table[a] = x + (sample * s.height + h) * s.width * s.c * SIZE if 0 <= h < s.height else padding
        for c in range(0, s.c, CHANNELS):
            for column in range(M * count + 2):
                w = j * M + column - s.left
                if 0 <= w < s.width:
                    at, to = (w * s.c + c) * SIZE, address(room) + column * LINE
                    transform_rows(address(table), at, to, row, M, INPUT, VECTORS_OF_LINE, WIDTH)
                else:
                    for a in range(side):
                        start = (a * row + column * LINE) // SIZE
                        room[start : start + CHANNELS] = 0
            for k in range(count):
                for a in range(side):
                    at = address(room) + a * row + M * k * LINE
                    to = v + ((t - first + k) * s.c + c) * SIZE + a * side * s.v_plane
                    transform(at, LINE, to, s.v_plane, M, INPUT, VECTORS_OF_LINE, WIDTH)
        t += count


def filters(w, u, s, first, last, first_c, last_c):
    """U of the panels [first, last) and some c. Filters lie the other way round for a gradient: rotated, c before k."""
    room = carray(stack(np.float32(0), ROOM), ROOM // SIZE)
    side, row = M + 2, PIECE * ROW_BYTES  # of a tap in room
    scratch = address(room) + 9 * row
    for panel in range(first, last):
        columns = min(NR, s.k - panel * NR)
        for c in range(first_c, last_c, PIECE):
            here = min(PIECE, last_c - c)
            if not s.rotated:
                for tap in range(9):
                    at = (panel * NR * 9 + tap) * s.c + c
                    turn(w, at, 9 * s.c, room, tap * PIECE * NR, NR, here, columns, False)
            for b in range(here):
                for k in range(0, columns, COLUMNS):
                    at, step = address(room) + (b * NR + k) * SIZE, row
                    if s.rotated:
                        at = address(w) + (((c + b) * 9 + 8) * s.k + panel * NR + k) * SIZE
                        step = -s.k * SIZE
                    for tap in range(3):
                        to = scratch + tap * LINE
                        transform(at + tap * step, 3 * step, to, 3 * LINE, M, FILTER, VECTORS_OF_COLUMNS, WIDTH)
                    to = u + (panel - first) * side * side * s.u_plane + ((c - first_c + b) * NR + k) * SIZE
                    for a in range(side):
                        plane = to + a * side * s.u_plane
                        transform(scratch + 3 * a * LINE, LINE, plane, s.u_plane, M, FILTER, VECTORS_OF_COLUMNS, WIDTH)


def products(v, u, m, taps, zeros, ones, s, rows, panels, adds):
    """M of the first `rows` tiles and some panels, or what some blocks of the sum add to it.

    taps: (points, blocks, 3), for the tile.   zeros, ones: addresses of NR numbers.
    """
    points, (tall, short) = (M + 2) * (M + 2), forms(rows)
    table = carray(stack(1, TABLES), (2, TABLE))
    addresses(table[0], 0, rows, v, 1, rows, 0, 0, s.c, SIZE)
    addresses(table[1], 0, rows, m, 1, rows, 0, 0, NR, SIZE)
    one = np.float32(1)
    for xi in range(points):
        for block in range(taps.shape[1]):
            for panel in range(panels):
                tiles(
                    address(table[0]),
                    address(table[1]),
                    rows,
                    tall,
                    short,
                    (panel * points + xi) * s.m_plane,
                    1,
                    address(taps[xi, block]),
                    1,
                    SIZE,
                    u + (panel * points + xi) * s.u_plane,
                    ROW_BYTES,
                    0,
                    ones,
                    zeros,
                    1 if adds or block > 0 else 0,
                    0,
                    0,
                    one,
                    np.float32(-np.inf),
                    MR,
                    SHORT,
                    VECTORS,
                    WIDTH,
                )


def outputs(m, y, scale, bias, residual, s, first, last, first_panel, last_panel, adds, floor, gelu):
    """The tiles [first, last) of y, channels of the panels [first_panel, last_panel)."""
    room = stack(np.float32(0), ROOM)
    side, scratch, to_residual = M + 2, address(carray(room, 1)), address(residual) - address(y)
    for t in range(first, last):
        sample, rest = divmod(t, s.tile_rows * s.tile_columns)
        i, j = divmod(rest, s.tile_columns)
        height, width = min(M, s.p - i * M), min(M, s.q - j * M)
        pixel = (sample * s.p + i * M) * s.q + j * M
        for panel in range(first_panel, last_panel):
            plane = m + (panel - first_panel) * side * side * s.m_plane
            for k in range(panel * NR, min(s.k, (panel + 1) * NR), COLUMNS):
                at = plane + ((t - first) * NR + k - panel * NR) * SIZE
                for b in range(side):
                    to, step = scratch + b * LINE, side * s.m_plane
                    transform(at + b * s.m_plane, step, to, side * LINE, M, OUTPUT, VECTORS_OF_COLUMNS, WIDTH)
                for a in range(height):
                    start = (pixel + a * s.q) * s.k + k
                    transform_last(
                        scratch + a * side * LINE,
                        LINE,
                        address(y) + start * SIZE,
                        s.k * SIZE,
                        width,
                        address(scale) + k * SIZE,
                        address(bias) + k * SIZE,
                        adds,
                        to_residual,
                        floor,
                        M,
                        VECTORS_OF_COLUMNS,
                        WIDTH,
                    )
                    for b in range(width if gelu else 0):
                        through_gelu(y[start + b * s.k : start + b * s.k + COLUMNS])


@njit(error_model="numpy")
def through_gelu(y):
    for i in range(y.size):
        y[i] *= normal_distribution(y[i])


def _convolve(x, w, shared, y, scale, bias, residual, zeros, ones, plan, taps, scratch, adds, floor, gelu, prepares):
    """First, with `prepares`, what is shared: V where there are few tiles, else U. Then all the rest.

    scratch: (slots, numbers); slots share out the work in runs. It is one kernel because both need the same stages.
    """
    slots = scratch.shape[0]
    for index in prange(slots):
        slot = np.int64(index)
        s = plan[0]  # not before: a record cannot be handed into a parallel loop
        points, few = (M + 2) * (M + 2), s.blocks == 1
        m = address(scratch[slot])
        own = m + (1 if few else s.panels) * points * s.m_plane
        v, u = (address(shared), own) if few else (own, address(shared))
        jobs = (s.tiles if few else s.panels) if prepares else (s.panels if few else s.blocks)
        begin, end = slot * jobs // slots, (slot + 1) * jobs // slots
        if prepares:
            if few:
                inputs(address(x), v + begin * s.c * SIZE, address(zeros), s, begin, end)
            else:
                filters(w, u + begin * points * s.u_plane, s, begin, end, 0, s.c)
            begin = end
        for job in range(begin, end):
            first, last = 0, s.tiles
            panel, panels, at_once = job, 1, 1  # blocks of the sum
            if not few:
                first, last = job * s.tiles // s.blocks, (job + 1) * s.tiles // s.blocks
                panel, panels, at_once = 0, s.panels, s.sums
                inputs(address(x), v, address(zeros), s, first, last)
            for block in range(0, s.sums, at_once):
                if few:
                    filters(w, u, s, panel, panel + 1, block * s.terms, min(s.c, (block + 1) * s.terms))
                blocks = taps[:, block : block + at_once]
                products(v, u, m, blocks, address(zeros), address(ones), s, last - first, panels, block > 0)
            outputs(m, y, scale, bias, residual, s, first, last, panel, panel + panels, adds, floor, gelu)


def _kernel(m: int) -> Kernel:
    """The kernel of F(m x m)."""
    stages = inputs, filters, products, outputs
    known = {f.__name__: njit(specialised(f, f"{f.__name__}_{m}", M=m)) for f in stages}
    return kernel(specialised(_convolve, f"_convolve_{m}", M=m, **known))


KERNELS = {m: _kernel(m) for m in (2, 4)}
