"""Data movement by rows.

Many rows may be added to the same one, so scatter_add's jobs are blocks of columns, not of rows: each job adds all rows
in their order, and no two jobs meet. Jobs of the others are rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from ...core.shape import Shape
from .compile import kernel

JOB = 1 << 14  # elements
BLOCK = 64  # columns: a few cache lines


def gather(table: np.ndarray, rows: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    width = table.shape[1]
    _gather(table, rows.reshape(-1), max(1, JOB // max(1, width)), out.reshape(rows.size, width), work=2 * out.nbytes)


@kernel
def _gather(table, rows, step, y):
    for index in prange(-(-y.shape[0] // step)):
        first = np.int64(index) * step
        for i in range(first, min(first + step, y.shape[0])):
            if 0 <= rows[i] < table.shape[0]:
                _copy(table[rows[i]], y[i])
            else:
                y[i] = np.nan


@njit
def _copy(x, y):
    for c in range(y.size):
        y[c] = x[c]


def scatter_add(
    dy: np.ndarray, rows: np.ndarray, *, size: int, out: np.ndarray, pool: Any, accumulate: bool = False
) -> None:
    if not accumulate:
        out.fill(0)
    _scatter_add(dy.reshape(rows.size, dy.shape[-1]), rows.reshape(-1), out, work=3 * dy.nbytes)


@kernel
def _scatter_add(dy, rows, y):
    for index in prange(-(-y.shape[1] // BLOCK)):
        first = np.int64(index) * BLOCK
        last = min(first + BLOCK, y.shape[1])
        for i in range(rows.size):
            if 0 <= rows[i] < y.shape[0]:
                _add(dy[i, first:last], y[rows[i], first:last])


@njit
def _add(x, y):
    for c in range(y.size):
        y[c] += x[c]


def concat(*arrays: np.ndarray, out: np.ndarray, pool: Any) -> None:
    at = 0
    for part in arrays:
        _move(part, 0, out, at, part.shape[-1])
        at += part.shape[-1]


def split(x: np.ndarray, sizes: Shape, *, out: Any, pool: Any) -> None:
    at = 0
    for part in out if isinstance(out, tuple) else (out,):
        _move(x, at, part, 0, part.shape[-1])
        at += part.shape[-1]


def _move(x: np.ndarray, x_at: int, y: np.ndarray, y_at: int, size: int) -> None:
    """Copies so many numbers of every row of x into every row of y."""
    if size and y.size:
        x, y = (a.reshape(-1, a.shape[-1]) for a in (x, y))
        _copy_parts(x, x_at, y, y_at, size, max(1, JOB // size), work=2 * size * len(x) * x.itemsize)


@kernel
def _copy_parts(x, x_at, y, y_at, size, step):
    for index in prange(-(-x.shape[0] // step)):
        first = np.int64(index) * step
        for m in range(first, min(first + step, x.shape[0])):
            _copy(x[m, x_at : x_at + size], y[m, y_at : y_at + size])
