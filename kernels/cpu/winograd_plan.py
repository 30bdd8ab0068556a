"""How a Winograd convolution is laid out in memory: made once for a shape.

Tiles of all samples are numbered together and worked through in blocks. A block's V and M should stay in the second-level
cache; with too few tiles, though, U is read for too few products, and then as many are taken as V and M can be streamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...core.shape import Shape
from .winograd_stages import CHANNELS, MOST_TILES, NR, SIZE
from .winograd_transform import LINE

CACHE = 448 * 1024  # bytes of a block's V, or M, in a cache of 512 KiB
TERMS = (
    128  # of a block of the sum over c: twice as many are 3 % faster, but the error of long sums is half as large again
)
LEAST_TILES = 24  # of a block: with fewer, reading U takes longer than multiplying by it

FIELDS = (
    *("height", "width", "c", "p", "q", "k", "top", "left", "rotated"),
    *("tile_rows", "tile_columns", "tiles", "blocks", "panels"),
    *("terms", "sums"),  # of the sum over c: terms of a block, blocks
    *("v_plane", "u_plane", "m_plane"),  # bytes from one xi to the next
)


@dataclass(frozen=True)
class Plan:
    """record: FIELDS, for the kernels.   taps: (points, blocks of c, 3), for the tile.   zeros, ones: constants.

    few: whether all tiles are one block.   v: bytes of a block's V.   u, m: of one panel's U and M; where there are few
    tiles, of one block of the sum's U.   flops: of the products.
    """

    record: np.ndarray
    taps: np.ndarray
    zeros: np.ndarray
    ones: np.ndarray
    few: bool
    panels: int
    v: int
    u: int
    m: int
    flops: int


@lru_cache(maxsize=256)
def planned(x: Shape, y: Shape, top: int, left: int, rotated: bool, m: int) -> Plan:
    """The plan of y (N, P, Q, K) from x (N, H, W, C), of which `top` rows and `left` columns of padding come first."""
    (n, height, width, c), (_, p, q, k) = x, y
    points, panels = (m + 2) ** 2, -(-k // NR)
    tile_rows, tile_columns = -(-p // m), -(-q // m)
    tiles = n * tile_rows * tile_columns
    blocks, sums = -(-tiles // block_size(tiles, points, max(c, k))), -(-c // TERMS)
    block, terms = -(-tiles // blocks), -(-c // (sums * CHANNELS)) * CHANNELS
    sizes = block * c, (terms if blocks == 1 else c) * NR, block * NR
    v_plane, u_plane, m_plane = (odd_lines(SIZE * size) for size in sizes)
    counts = tile_rows, tile_columns, tiles, blocks, panels, terms, sums, v_plane, u_plane, m_plane
    return Plan(
        np.array([(height, width, c, p, q, k, top, left, rotated, *counts)], [(f, np.int64) for f in FIELDS]),
        _taps(c, terms, points, v_plane, terms * NR * SIZE if blocks > 1 else 0),
        np.zeros(max(width * c, k, NR), np.float32),
        np.ones(max(k, NR), np.float32),
        blocks == 1,
        panels,
        points * v_plane,
        points * u_plane,
        points * m_plane,
        2 * points * tiles * c * k,
    )


def block_size(tiles: int, points: int, channels: int) -> int:
    """Tiles of a block: all, or what the cache holds, or where that is too little the most that there may be."""
    fitting = CACHE // (points * SIZE * channels)
    return min(fitting, MOST_TILES) if tiles > MOST_TILES and fitting >= LEAST_TILES else MOST_TILES


def _taps(c: int, terms: int, points: int, v_plane: int, u_step: int) -> np.ndarray:
    """For each point the blocks of the sum over c.   u_step: bytes from a block's filters to the next."""
    starts = np.arange(0, c, terms)
    taps = np.empty((points, len(starts), 3), np.int64)
    taps[:, :, 0] = starts * SIZE + np.arange(points)[:, None] * v_plane
    taps[:, :, 1] = np.arange(len(starts)) * u_step
    taps[:, :, 2] = np.minimum(terms, c - starts)
    return taps


def odd_lines(nbytes: int) -> int:
    """At least so many bytes, an odd number of cache lines."""
    return (-(-nbytes // LINE) | 1) * LINE
