"""Dice: how far a segmentation overlaps with the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda z, target, **_: 15 * prod(z.shape))
def dice(z: Any, target: Any, *, smooth: float = 1.0, scale: float = 1.0) -> tuple[Like, ...]:
    """Soft Dice loss of each sample, and its gradient by the logits.

        loss[n] = 1 - 1/K * sum_k ( 2 I[n,k] + smooth ) / ( P[n,k] + T[n,k] + smooth )
        I = sum_i p[n,i,k] * t[n,i,k]            P = sum_i p[n,i,k]            T = sum_i t[n,i,k]            i over pixels

    A ratio of sums over one sample, so that the losses of a batch add up.   z: (N, ..., K)
    target: labels (N, ...) int64 in [0, K), then p = softmax(z) over k and t[n,i,k] = [k == label];
            or (N, ..., K) in [0, 1] of z's dtype, then p = sigmoid(z) and t = target.
    ->   loss: (N,), dz: (N, ..., K).   smooth > 0.   After Milletari, Navab, Ahmadi 2016, "V-Net" (arXiv 1606.04797).
    """
    labels = target.dtype == np.int64 and target.shape == z.shape[:-1]
    need(
        len(z.shape) >= 2 and (labels or (target.shape == z.shape and target.dtype == z.dtype)),
        lambda: f"dice: the target is {target.dtype}{target.shape} for logits {z.dtype}{z.shape}",
        f"give int64 labels {z.shape[:-1]}, or a number for each logit",
    )
    need(smooth > 0, lambda: f"dice: smooth {smooth} must be more than 0", "the default is 1.0")
    return Like(z.shape[:1], z.dtype), Like(z.shape, z.dtype)
