"""Losses: forward and gradient in one call, because both need the same exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import DataError
from ..kernels import ops


class CrossEntropy:
    """Softmax cross-entropy over class labels.

        loss_sum = sum_n loss[n]          dz = scale * d(loss_sum)/dz

    scale is 1 / (samples of the GLOBAL batch): then the sum of the ranks' gradients is the gradient of the global mean,
    whatever the shares.
    """

    def __call__(self, z: Any, labels: Any, scale: float, ctx: Context) -> tuple[float, int, Any]:
        """(sum of the losses in float64, samples classified right, dz). DataError for a label outside [0, K)."""
        if labels.size and not 0 <= labels.min() <= labels.max() < z.shape[1]:
            raise DataError(
                f"labels from {labels.min()} to {labels.max()} for {z.shape[1]} classes",
                "the model's last layer needs one output per class",
            )
        losses, dz = ops.cross_entropy(z, labels, scale=scale, pool=ctx.pool, backend=ctx.backend)
        right = int((z.argmax(axis=1) == labels).sum()) if labels.size else 0
        return float(losses.sum(dtype=np.float64)), right, dz
