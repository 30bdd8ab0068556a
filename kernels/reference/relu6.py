"""The clipped rectifier."""

from __future__ import annotations

import numpy as np


def relu6(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0, x.dtype.type(0), np.where(x >= 6, x.dtype.type(6), x))  # comparisons let a NaN stay


def relu6_dx(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((y > 0) & (y < 6), dy, dy.dtype.type(0))
