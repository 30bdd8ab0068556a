"""How a Winograd convolution is laid out in memory: made once for a shape.

Tiles of all samples are numbered together and worked through in blocks. A block's V and M should stay in the second-level
cache; with too few tiles, though, U is read for too few products, and then as many are taken as V and M can be streamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...core.shape import Shape
from .brgemm import BLOCK
from .winograd_stages import CHANNELS, NR, SIZE
from .winograd_transform import LINE

CACHE = 448 * 1024  # bytes of V and M in a block, of a 512 KiB cache
LEAST, MOST = 24, 64  # tiles of a block
SEGMENT = 14  # tiles side by side whose first transforms are kept in a 32 KiB cache

FIELDS = (
    *("height", "width", "c", "p", "q", "k", "top", "left", "rotated"),
    *("tile_rows", "tile_columns", "tiles", "blocks", "segment", "panels"),
    *("v_plane", "u_plane", "m_plane"),  # bytes from one xi to the next
)


@dataclass(frozen=True)
class Plan:
    """record: FIELDS, for the kernels.   taps: (points, blocks of c, 3), for the tile.   padding: zeros.

    few: whether all tiles are one block.   block: tiles of a block.   v: bytes of a block's V.   u, m: of one panel's U and M.   room: of a stage's scratch.
    flops: of the products.
    """

    record: np.ndarray
    taps: np.ndarray
    padding: np.ndarray
    few: bool
    block: int
    panels: int
    v: int
    u: int
    m: int
    room: int
    flops: int


@lru_cache(maxsize=256)
def planned(x: Shape, y: Shape, top: int, left: int, rotated: bool, m: int) -> Plan:
    """The plan of y (N, P, Q, K) from x (N, H, W, C), of which `top` rows and `left` columns of padding come first."""
    (n, height, width, c), (_, p, q, k) = x, y
    side, points, panels = m + 2, (m + 2) ** 2, -(-k // NR)
    tile_rows, tile_columns = -(-p // m), -(-q // m)
    tiles = n * tile_rows * tile_columns
    fitting = CACHE // (points * SIZE * (c + k))
    blocks = -(-tiles // (min(fitting, MOST) if fitting >= LEAST and tiles > MOST else MOST))
    block, segment = -(-tiles // blocks), min(SEGMENT, tile_columns)
    planes = [odd_lines(SIZE * size) for size in (block * c, c * NR, block * NR)]
    values = height, width, c, p, q, k, top, left, rotated, tile_rows, tile_columns, tiles, blocks, segment, panels
    bounds = np.arange(-(-c // BLOCK) + 1) * c // -(-c // BLOCK)
    taps = np.empty((points, len(bounds) - 1, 3), np.int64)
    taps[:, :, 0] = bounds[:-1] * SIZE + np.arange(points)[:, None] * planes[0]
    taps[:, :, 1] = bounds[:-1] * NR * SIZE
    taps[:, :, 2] = np.diff(bounds)
    return Plan(
        np.array([(*values, *planes)], [(field, np.int64) for field in FIELDS]),
        taps,
        np.zeros(max(width * c, k, NR), np.float32),
        blocks == 1,
        block,
        panels,
        *(points * plane for plane in planes),
        room=max(side * (m * segment + 2) * LINE, 9 * CHANNELS * NR * SIZE + 3 * side * LINE),
        flops=2 * points * tiles * c * k,
    )


def odd_lines(nbytes: int) -> int:
    """At least so many bytes, an odd number of cache lines."""
    return (-(-nbytes // LINE) | 1) * LINE
