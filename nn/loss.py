"""Losses: forward and gradient in one call, because both need the same exponentials.

A loss adds up; nobody but the strategy knows what to divide by. The mass of a target is the weight its terms have together
(their number, unless classes are weighted or elements ignored), and the mean over a global batch is sum / mass, however
its samples lie on ranks and micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import DataError, UsageError
from ..core.shape import prod
from ..kernels import ops
from .linear import rows


class Loss:
    """The face of every loss.

        sum, right, dz = loss(z, target, scale, ctx)        dz = scale * d(sum)/dz

    scale is 1 / (mass of the GLOBAL batch): then the sum of the ranks' gradients is the gradient of the global mean.
    right: how many terms were classified right, 0 for a loss that classifies nothing.   May overwrite z.
    even: the mass follows from the target's shape alone, so no rank has to ask the others; mass() then reads the shape only.
    """

    @property
    def even(self) -> bool:
        return True

    def mass(self, target: Any) -> float:
        """The sum of the weights of all terms of this target: (N, ...) -> N * ..."""
        return float(prod(target.shape))

    def __call__(self, z: Any, target: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        """(sum of all terms in float64, terms classified right, dz)."""
        raise NotImplementedError


def not_negative(name: str, weights: tuple[float, ...]) -> None:
    """UsageError for weights that would reward mistakes, or that count nothing at all."""
    if weights and not (min(weights) >= 0 < sum(weights) < float("inf")):
        raise UsageError(
            f"{name} {weights} must be at least 0, and not all 0", "give how much each counts, such as 1,2.5"
        )


def total(losses: Any) -> float:
    return float(losses.sum(dtype=np.float64))


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Softmax cross-entropy over class labels, with PyTorch's options; kernels/ops/loss.py has the formula.

        mass = sum_n weights[labels[n]]          over the terms that count, so that sum / mass is PyTorch's mean

    z: (N, ..., K)   labels: (N, ...) int64 in [0, K): n runs over samples, and over steps or pixels of each.
    smoothing: the share of a label that is spread over all classes.   weights: one per class, () means 1.
    ignore: a label whose terms do not count.
    """

    smoothing: float = 0.0
    weights: tuple[float, ...] = ()
    ignore: int | None = None

    def __post_init__(self) -> None:
        not_negative("cross-entropy: weights", self.weights)

    @property
    def even(self) -> bool:
        return not self.weights and self.ignore is None

    def mass(self, labels: Any) -> float:
        if self.even:
            return super().mass(labels)
        labels = labels[self._counts(labels)]
        if not self.weights:
            return float(labels.size)
        self._check(labels, len(self.weights))
        return total(np.asarray(self.weights)[labels])

    def __call__(self, z: Any, labels: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        """(sum of the losses in float64, terms classified right, dz). DataError for a label outside [0, K)."""
        if labels.shape != z.shape[:-1]:
            raise UsageError(f"labels {labels.shape} for logits {z.shape}", f"one label for each of {z.shape[:-1]}")
        counts = self._counts(labels)
        self._check(labels[counts], z.shape[-1])
        losses, dz = ops.cross_entropy(
            rows(z),
            labels.reshape(-1),
            smoothing=self.smoothing,
            weights=np.asarray(self.weights, z.dtype) if self.weights else None,
            ignore=self.ignore,
            scale=scale,
            pool=ctx.pool,
            backend=ctx.backend,
        )
        right = int((z.argmax(axis=-1) == labels)[counts].sum()) if labels.size else 0
        return total(losses), right, dz.reshape(z.shape)

    def _counts(self, labels: Any) -> Any:
        """An index of the labels that count."""
        return ... if self.ignore is None else labels != self.ignore

    def _check(self, labels: Any, classes: int) -> None:
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise DataError(
                f"labels from {labels.min()} to {labels.max()} for {classes} classes",
                "the model's last layer, and the loss's weights, need one number per class",
            )


@dataclass(frozen=True)
class KLDivergence(Loss):
    """Distillation: how far softened classes are from a teacher's; kernels/ops/loss.py has the formula.

    z, and the teacher's logits as target: (N, ..., K).   mass = N * ..., without K.
    """

    temperature: float = 1.0

    def mass(self, target: Any) -> float:
        return float(prod(target.shape[:-1]))

    def __call__(self, z: Any, target: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        losses, dz = ops.kl_divergence(
            rows(z), rows(target), temperature=self.temperature, scale=scale, pool=ctx.pool, backend=ctx.backend
        )
        return total(losses), 0, dz.reshape(z.shape)
