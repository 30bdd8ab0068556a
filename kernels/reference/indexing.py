"""Data movement, by NumPy's own indexing."""

from __future__ import annotations

import numpy as np

from ...core.shape import Shape


def gather(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    inside = (rows >= 0) & (rows < len(table))
    y = np.full((*rows.shape, table.shape[1]), np.nan, table.dtype)
    y[inside] = table[rows[inside]]
    return y


def scatter_add(dy: np.ndarray, rows: np.ndarray, *, size: int, accumulate: bool = False) -> np.ndarray:
    inside = (rows >= 0) & (rows < size)
    y = np.zeros((size, dy.shape[-1]), dy.dtype)
    np.add.at(y, rows[inside], dy[inside])
    return y


def concat(*arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, axis=-1)


def split(x: np.ndarray, sizes: Shape) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=-1))
