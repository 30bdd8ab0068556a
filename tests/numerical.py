"""Derivatives by central differences, in float64: an oracle that knows nothing but the function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def gradient(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """d f(x) / dx[i] = (f(x + h e_i) - f(x - h e_i)) / 2h for every i."""
    slope = np.empty_like(x)
    for i in np.ndindex(x.shape):
        here = x[i]
        x[i] = here + step
        above = f(x)
        x[i] = here - step
        slope[i] = (above - f(x)) / (2 * step)
        x[i] = here
    return slope
