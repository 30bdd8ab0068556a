"""Sums whose order is part of the result."""

from __future__ import annotations

import numpy as np


def ordered_sum(parts: np.ndarray) -> np.ndarray:
    y = parts[0].copy()
    for part in parts[1:]:
        y = y + part  # one rounding per rank, in rank order
    return y


def sum_of_squares(x: np.ndarray) -> np.ndarray:
    return np.square(x.reshape(-1), dtype=np.float64).sum(keepdims=True)


def row_sum(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=-1, dtype=np.float64).astype(x.dtype)


def row_mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=-1, dtype=np.float64).astype(x.dtype)


def row_max(x: np.ndarray) -> np.ndarray:
    return x.max(axis=-1)
