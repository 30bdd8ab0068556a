"""How far a result is from its definition, and the ways in which an array may lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

ALLOWED = {np.float32: 1e-5, np.float64: 1e-12}  # norm-relative, by dtype


def normal(seed: int, shape: Any, dtype: Any = np.float64) -> np.ndarray:
    """Standard normal numbers, the same for float32 (rounded) and float64."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def distance(result: np.ndarray, expected: np.ndarray) -> float:
    """|result - expected| / |expected| in the Frobenius norm; the absolute norm where nothing is expected."""
    difference = np.linalg.norm(result.astype(np.float64) - expected)
    return float(difference / (np.linalg.norm(expected) or 1.0))


def shifted(a: np.ndarray, elements: int) -> np.ndarray:
    """A copy whose first number lies `elements` numbers behind a multiple of 64 bytes."""
    room = np.empty(a.size + 64, a.dtype)
    start = (-room.ctypes.data % 64) // a.itemsize + elements
    copy = room[start : start + a.size].reshape(a.shape)
    copy[...] = a
    return copy
