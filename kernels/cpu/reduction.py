"""Sums whose order is part of the result: rank by rank, so one piece at a time stays in the first-level cache; of squares
by pieces; of rows in the chains of rows.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import empty
from .compile import kernel
from .rows import by_rows, dot, highest, run_rows, total

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


def sum_of_squares(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    partial = empty(pool, (-(-x.size // PIECE),), np.float64)
    _sum_of_squares(x.reshape(-1), partial, out, work=x.nbytes)


@kernel
def _sum_of_squares(x, partial, y):
    for piece in prange(partial.size):
        at = np.int64(piece) * PIECE
        partial[piece] = dot(x[at : at + PIECE], x[at : at + PIECE])
    y[0] = total(partial)


def _row_sum(x, y):
    y[0] = total(x)


def _row_mean(x, y):
    y[0] = total(x) / x.size


def _row_max(x, y):
    y[0] = highest(x)


ROW_SUM, ROW_MEAN, ROW_MAX = map(by_rows, (_row_sum, _row_mean, _row_max))


def row_sum(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    run_rows(ROW_SUM, x, out, x.itemsize)


def row_mean(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    run_rows(ROW_MEAN, x, out, x.itemsize)


def row_max(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    run_rows(ROW_MAX, x, out, x.itemsize)
