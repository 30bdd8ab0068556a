"""Dice: the loss is a ratio over a whole sample, so a sample is one term, and a batch is still a sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.context import Context
from ..kernels import ops
from .loss import Loss, total


@dataclass(frozen=True)
class Dice(Loss):
    """Soft Dice of each sample, for segmentation; kernels/ops/dice.py has the formula.

    z: (N, ..., K)   target: labels (N, ...) int64, or (N, ..., K) in [0, 1]   mass = N.
    """

    smooth: float = 1.0

    def mass(self, target: Any) -> float:
        return float(target.shape[0])

    def __call__(self, z: Any, target: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        losses, dz = ops.dice(z, target, smooth=self.smooth, scale=scale, pool=ctx.pool, backend=ctx.backend)
        return total(losses), 0, dz
