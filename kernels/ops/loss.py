"""Losses of each sample and their gradients, in one call because both need the same exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda logits, labels, **_: 5 * prod(logits.shape))
def cross_entropy(logits: Any, labels: Any, *, scale: float = 1.0) -> tuple[Like, ...]:
    """Softmax cross-entropy of each sample, and its gradient.

        loss[n] = log( sum_j exp(z[n,j]) ) - z[n,labels[n]]
        dz[n,j] = scale * ( exp(z[n,j]) / sum_i exp(z[n,i])  -  [j == labels[n]] )

    logits z: (N, K)   labels: (N,) int64 in [0, K)   ->   loss: (N,), dz: (N, K).   Stable: the row maximum is subtracted.
    """
    need(len(logits.shape) == 2, lambda: f"cross_entropy: logits {logits.shape} must be (N, K)")
    need(
        labels.shape == logits.shape[:1] and labels.dtype == np.int64,
        lambda: f"cross_entropy: labels {labels.dtype}{labels.shape} for logits {logits.shape}; need int64 ({logits.shape[0]},)",
    )
    return Like(labels.shape, logits.dtype), Like(logits.shape, logits.dtype)
