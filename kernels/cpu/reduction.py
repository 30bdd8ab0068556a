"""Sums whose order is part of the result.

Rank by rank: one piece at a time, so that its sums stay in the first-level cache. Squares of all elements: LANES running
sums a piece, which the compiler can turn into vectors without another order, then the sums of all pieces one by one. Of
rows: in the chains of rows.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel
from .rows import by_rows, highest, run_rows, total
from .scratch import empty

PIECE = 1 << 11  # elements: 8 or 16 KiB of sums
LONG, LANES = 1 << 14, 64  # elements of a piece and its running sums, where all elements are added


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
    lanes = empty(pool, (-(-x.size // LONG), LANES), np.float64)
    _sum_of_squares(x.reshape(-1), lanes, out, work=x.nbytes)


@kernel
def _sum_of_squares(x, lanes, y):
    for piece in prange(lanes.shape[0]):
        at = np.int64(piece) * LONG
        _squares_of_a_piece(x[at : at + LONG], lanes[piece])
    y[0] = 0
    for piece in range(lanes.shape[0]):
        for lane in range(LANES):
            y[0] += lanes[piece, lane]


@njit
def _squares_of_a_piece(x, sums):
    sums[:] = 0
    for at in range(0, x.size, LANES):
        _add_squares(x[at : at + LANES], sums)


@njit
def _add_squares(x, sums):
    for i in range(x.size):
        value = np.float64(x[i])
        sums[i] += value * value


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
