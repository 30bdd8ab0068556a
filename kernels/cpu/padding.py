"""Images with room around them: a tap of a window is then one distance in memory, for every pixel.

    dst[n, top + h, left + w, c] = x[n, h, w, c]        zero elsewhere

The gradient by the weights asks for it, because its sums run over whole rows of pixels, with no borders in between. An
image that needs no room is used where it lies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ...core.shape import Pair, Window
from .compile import kernel
from .scratch import empty


class Placement(NamedTuple):
    """Where an image (N, H, W, C) goes in one of (N, height, width, C)."""

    height: int
    width: int
    top: int
    left: int


def padded(size: Pair, window: Window) -> Placement:
    """Where an input of size (H, W) stands in its padded copy."""
    (top, bottom), (left, right) = window.padding
    return Placement(size[0] + top + bottom, size[1] + left + right, top, left)


def place(x: Any, at: Placement, pool: Any) -> Any:
    """The placed image; x itself where nothing changes."""
    height, width = x.shape[1:3]
    if at == Placement(height, width, 0, 0):
        return x
    dst = empty(pool, (x.shape[0], at.height, at.width, x.shape[3]), x.dtype)
    _place(x.reshape(-1), dst.reshape(-1), x.shape, at, work=dst.nbytes)
    return dst


@kernel
def _place(x, dst, shape, at):
    n, height, width, c = shape
    row = at.width * c
    for index in prange(n):
        image = np.int64(index)
        source, target = image * height * width * c, image * at.height * row
        for i in range(at.height * row):
            dst[target + i] = 0
        for h in range(height):
            i, j = source + h * width * c, target + (at.top + h) * row + at.left * c
            for k in range(width * c):
                dst[j + k] = x[i + k]
