"""Joining and parting over the last axis."""

from __future__ import annotations

import numpy as np


def concat(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts, axis=-1)


def split(x: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    ends = np.cumsum(sizes)
    return tuple(x[..., end - size : end].copy() for size, end in zip(sizes, ends, strict=True))
