"""Copies, by indexing."""

from __future__ import annotations

import numpy as np


def copy(x: np.ndarray) -> np.ndarray:
    return x.copy()


def last_step(x: np.ndarray) -> np.ndarray:
    return x[:, -1].copy()


def last_step_dx(dy: np.ndarray, steps: int) -> np.ndarray:
    dx = np.zeros((len(dy), steps, dy.shape[1]), dy.dtype)
    dx[:, -1] = dy
    return dx
