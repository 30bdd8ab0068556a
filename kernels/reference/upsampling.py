"""Upsampling, one axis after the other: each output takes a share of two inputs, and gives its gradient back in the same
shares."""

from __future__ import annotations

import numpy as np

from ...core.shape import Pair


def upsample2d(x: np.ndarray, scale: Pair, mode: str) -> np.ndarray:
    for axis, factor in enumerate(scale, start=1):
        if mode == "nearest":
            x = np.repeat(x, factor, axis)
        else:
            lower, upper, share = _between(x, axis, factor, x.shape[axis])
            x = (1 - share) * x.take(lower, axis) + share * x.take(upper, axis)
    return x


def upsample2d_dx(dy: np.ndarray, scale: Pair, mode: str) -> np.ndarray:
    for axis, factor in enumerate(scale, start=1):
        size = dy.shape[axis] // factor
        dx = np.zeros((*dy.shape[:axis], size, *dy.shape[axis + 1 :]), dy.dtype)
        into, given = np.moveaxis(dx, axis, 0), lambda part, axis=axis: np.moveaxis(part, axis, 0)
        if mode == "nearest":
            np.add.at(into, np.arange(size).repeat(factor), given(dy))
        else:
            lower, upper, share = _between(dy, axis, factor, size)
            np.add.at(into, lower, given((1 - share) * dy))
            np.add.at(into, upper, given(share * dy))
        dy = dx
    return dy


def _between(like: np.ndarray, axis: int, factor: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each output along `axis`: the pixel below its centre, the one above, and the share of the one above."""
    centre = ((np.arange(size * factor) + 0.5) / factor - 0.5).clip(0)
    lower = np.floor(centre).astype(np.int64)
    share = (centre - lower).astype(like.dtype).reshape(-1, *[1] * (like.ndim - axis - 1))
    return lower, np.minimum(lower + 1, size - 1), share
