"""Joining and parting over the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np


def concat(*parts: np.ndarray, out: np.ndarray, pool: Any) -> None:
    np.concatenate(parts, axis=-1, out=out)


def split(x: np.ndarray, sizes: tuple[int, ...], *, out: tuple[np.ndarray, ...], pool: Any) -> None:
    end = 0
    for part, size in zip(out, sizes, strict=True):
        end += size
        part[...] = x[..., end - size : end]
