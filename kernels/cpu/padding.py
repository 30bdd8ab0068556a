"""Images with room around and between their pixels: what makes every window of a convolution an ordinary one.

    dst[n, top + step_h*h, left + step_w*w, c] = x[n, h, w, c]        zero elsewhere; what falls outside dst is dropped

With the zeros written out, the inner loop has no borders and a tap of the window is one distance in memory. It costs
one copy of the input, a few per cent of any convolution worth the name; an image that needs none is used where it lies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ...core.shape import Pair
from .compile import kernel
from .scratch import empty


class Placement(NamedTuple):
    """Where an image (N, H, W, C) goes in one of (N, height, width, C). top and left may be negative."""

    height: int
    width: int
    top: int
    left: int
    step_h: int = 1
    step_w: int = 1

    def moves(self, size: Pair) -> bool:
        """Whether an image of this size is changed at all."""
        return self != Placement(*size, 0, 0)


def place(x: Any, at: Placement, pool: Any) -> Any:
    """The placed image; x itself where nothing changes."""
    if not at.moves(x.shape[1:3]):
        return x
    dst = empty(pool, (x.shape[0], at.height, at.width, x.shape[3]), x.dtype)
    _place(x.reshape(-1), dst.reshape(-1), x.shape, at, work=dst.nbytes)
    return dst


@kernel
def _place(x, dst, shape, at):
    n, height, width, c = shape
    row = at.width * c
    first = max(0, -(at.left // at.step_w))  # columns [first, last) fall inside
    last = min(width, -((at.left - at.width) // at.step_w))
    for index in prange(n):
        image = np.int64(index)
        source, target = image * height * width * c, image * at.height * row
        for i in range(at.height * row):
            dst[target + i] = 0
        for h in range(height):
            y = at.top + h * at.step_h
            if 0 <= y < at.height:
                i, j = source + h * width * c, target + y * row + at.left * c
                if at.step_w == 1:
                    for k in range(first * c, last * c):
                        dst[j + k] = x[i + k]
                else:
                    for w in range(first, last):
                        for k in range(c):
                            dst[j + w * at.step_w * c + k] = x[i + w * c + k]
