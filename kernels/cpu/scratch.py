"""Scratch: kernels own nothing, so what they need for the length of a call comes from the caller's pool."""

from __future__ import annotations

from typing import Any

import numpy as np


def empty(pool: Any, shape: Any, dtype: Any) -> np.ndarray:
    """An uninitialised array from the pool, or plainly allocated where there is none."""
    return np.empty(shape, dtype) if pool is None else pool.empty(shape, dtype)
