"""Losses: forward and gradient in one call, because both need the same exponentials.

A loss adds up; nobody but the strategy knows what to divide by. The mass of a target is the weight its terms have together
(their number, unless classes are weighted or elements ignored), and the mean over a global batch is sum / mass, however
its samples lie on ranks and micro-batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import DataError, UsageError
from ..core.shape import prod
from ..kernels import ops


class Loss:
    """The face of every loss.

        sum, right, dz = loss(z, target, scale, ctx)        dz = scale * d(sum)/dz

    scale is 1 / (mass of the GLOBAL batch): then the sum of the ranks' gradients is the gradient of the global mean.
    right: how many terms were classified right, 0 for a loss that classifies nothing.   May overwrite z.
    even: the mass of a batch follows from the number of its samples alone, so no rank has to ask the others.
    """

    even = True

    def mass(self, target: Any) -> float:
        """The sum of the weights of all terms of this target: (N, ...) -> N * ..."""
        return float(prod(target.shape))

    def __call__(self, z: Any, target: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        """(sum of all terms in float64, terms classified right, dz)."""
        raise NotImplementedError


class CrossEntropy(Loss):
    """Softmax cross-entropy over class labels.

        loss_sum = sum_n loss[n]          dz = scale * d(loss_sum)/dz

    z: (N, ..., K)   labels: (N, ...) int64 in [0, K): n runs over samples, and over steps or pixels of each.
    """

    def __call__(self, z: Any, labels: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        """(sum of the losses in float64, terms classified right, dz). DataError for a label outside [0, K)."""
        if labels.shape != z.shape[:-1]:
            raise UsageError(f"labels {labels.shape} for logits {z.shape}", f"one label for each of {z.shape[:-1]}")
        if labels.size and not 0 <= labels.min() <= labels.max() < z.shape[-1]:
            raise DataError(
                f"labels from {labels.min()} to {labels.max()} for {z.shape[-1]} classes",
                "the model's last layer needs one output per class",
            )
        rows = z.reshape(prod(z.shape[:-1]), z.shape[-1])
        losses, dz = ops.cross_entropy(rows, labels.reshape(-1), scale=scale, pool=ctx.pool, backend=ctx.backend)
        right = int((z.argmax(axis=-1) == labels).sum()) if labels.size else 0
        return float(losses.sum(dtype=np.float64)), right, dz.reshape(z.shape)
