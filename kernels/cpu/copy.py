"""Copies: NumPy's are memcpy already, so nothing is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np


def copy(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    out[...] = x


def last_step(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    out[...] = x[:, -1]


def last_step_dx(dy: np.ndarray, steps: int, *, out: np.ndarray, pool: Any) -> None:
    out[:, :-1] = 0
    out[:, -1] = dy
