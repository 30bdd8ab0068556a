"""Sums whose order is part of the result."""

from __future__ import annotations

import numpy as np


def ordered_sum(parts: np.ndarray) -> np.ndarray:
    y = parts[0].copy()
    for part in parts[1:]:
        y = y + part  # one rounding per rank, in rank order
    return y


def sum_of_squares(x: np.ndarray) -> np.ndarray:
    return np.array([np.sum(x.astype(np.float64) ** 2)])
