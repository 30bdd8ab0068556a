"""Losses of one output and one number each: targets have the shape of the outputs.

A target of whole numbers (0 and 1) is read in the dtype of the outputs; a class label is not spread into a row of them,
because which of these losses would want that is not for a loss to guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.context import Context
from ..kernels import ops
from .loss import Loss, not_negative, total


class Elementwise(Loss):
    """What these share.   z, target: (N, ...)   mass = N * ..., as in PyTorch's mean."""

    def __call__(self, z: Any, target: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        target = target.astype(z.dtype, copy=False)
        losses, dz = self.terms(z, target, {"scale": scale, "pool": ctx.pool, "backend": ctx.backend})
        return total(losses), self.right(z, target), dz

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        """(loss of each term, dz)"""
        raise NotImplementedError

    def right(self, z: Any, target: Any) -> int:
        return 0


@dataclass(frozen=True)
class MSE(Elementwise):
    """Squared error, as torch.nn.MSELoss."""

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        return ops.mse(z, target, **how)


@dataclass(frozen=True)
class L1(Elementwise):
    """Absolute error, as torch.nn.L1Loss."""

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        return ops.l1(z, target, **how)


@dataclass(frozen=True)
class Huber(Elementwise):
    """Squared error up to `delta`, absolute error beyond, as torch.nn.HuberLoss."""

    delta: float = 1.0

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        return ops.huber(z, target, delta=self.delta, **how)


class Binary(Elementwise):
    """Outputs that are logits of yes and no, each for itself."""

    def right(self, z: Any, target: Any) -> int:
        return int(((z > 0) == (target > 0.5)).sum())


@dataclass(frozen=True)
class BCE(Binary):
    """Binary cross-entropy from logits, as torch.nn.BCEWithLogitsLoss.   pos_weight: one per output of the last axis, () means 1."""

    pos_weight: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        not_negative("bce: pos_weight", self.pos_weight)

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        weight = np.asarray(self.pos_weight, z.dtype) if self.pos_weight else None
        return ops.bce_with_logits(z, target, pos_weight=weight, **how)


@dataclass(frozen=True)
class Focal(Binary):
    """Focal loss on logits; targets are 0 or 1. kernels/ops/elementwise_loss.py has the formula."""

    gamma: float = 2.0
    alpha: float = 0.25

    def terms(self, z: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
        return ops.focal(z, target, gamma=self.gamma, alpha=self.alpha, **how)
