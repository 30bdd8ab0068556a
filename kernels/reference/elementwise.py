"""Arithmetic of arrays of one shape."""

from __future__ import annotations

import numpy as np


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a + b


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a * b


def scaled(x: np.ndarray, *, s: float) -> np.ndarray:
    return x.dtype.type(s) * x


def add_bias(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x + bias
