"""Sums whose order is part of the result: rank by rank, so one piece at a time stays in the first-level cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel

PIECE = 1 << 11  # elements: 8 or 16 KiB of sums


def ordered_sum(parts: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _ordered_sum(parts, out, work=parts.nbytes)


@kernel
def _ordered_sum(parts, y):
    for piece in prange(-(-y.size // PIECE)):
        at = piece * PIECE
        sums = y[at : at + PIECE]
        _copy(parts[0, at : at + PIECE], sums)
        for rank in range(1, parts.shape[0]):
            _add(parts[rank, at : at + PIECE], sums)


@njit
def _copy(x, y):
    for i in range(y.size):
        y[i] = x[i]


@njit
def _add(x, y):
    for i in range(y.size):
        y[i] += x[i]
