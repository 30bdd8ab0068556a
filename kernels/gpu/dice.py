"""Soft Dice loss of each sample, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from .launch import BLOCK, WAVES, Source, cover
from .memory import scratch

_kernels = Source("dice.cu")


def dice(z: Any, target: Any, *, out: Any, pool: Any = None, smooth: float = 1.0, scale: float = 1.0) -> None:
    """loss[n] = 1 - 1/K * sum_k ( 2 I[n,k] + smooth ) / ( P[n,k] + T[n,k] + smooth )"""
    loss, dz = out
    samples, pixels, classes, labels = len(z), prod(z.shape[1:-1]), z.shape[-1], target.dtype == np.int64
    nothing = scratch(None, z, (0,), np.int64)
    targets = (z, target) if labels else (target, nothing)  # numbers, labels: one of them is not looked at
    ratios = scratch(pool, z, (samples, classes, 2), z.dtype)
    grid = min(samples * classes, WAVES)
    _kernels.launch("dice_sums", grid, BLOCK, z, *targets, ratios, dz, samples, pixels, classes, smooth, labels)
    _kernels.launch(
        "dice", *cover(samples * pixels, 1), *targets, ratios, loss, dz, samples, pixels, classes, scale, labels
    )
