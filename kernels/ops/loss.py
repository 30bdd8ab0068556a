"""Losses over the classes of a row and their gradients, in one call because both need the same exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import need


@op(flops=lambda logits, labels, **_: 5 * prod(logits.shape))
def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    smoothing: float = 0.0,
    weights: Any = None,
    ignore: int | None = None,
    scale: float = 1.0,
) -> tuple[Like, ...]:
    """Softmax cross-entropy of each sample, and its gradient.

        loss[n] = - sum_j q[n,j] * log p[n,j]                         p[n,j] = exp(z[n,j]) / sum_i exp(z[n,i])
        dz[n,j] = scale * ( p[n,j] * sum_i q[n,i]  -  q[n,j] )
        q[n,j]  = weights[j] * ( (1 - smoothing) * [j == labels[n]] + smoothing / K )

    logits z: (N, K)   labels: (N,) int64 in [0, K)   weights: (K,), default 1   ->   loss: (N,), dz: (N, K).
    A sample whose label is `ignore`, in [0, K) or not, has loss 0 and gradient 0.   Stable: the row maximum is subtracted.
    Smoothing after Szegedy et al. 2016, "Rethinking the Inception architecture" (arXiv 1512.00567).
    """
    need(len(logits.shape) == 2, lambda: f"cross_entropy: logits {logits.shape} must be (N, K)")
    need(
        labels.shape == logits.shape[:1] and labels.dtype == np.int64,
        lambda: (
            f"cross_entropy: labels {labels.dtype}{labels.shape} for logits {logits.shape}; need int64 ({logits.shape[0]},)"
        ),
    )
    need(0 <= smoothing <= 1, lambda: f"cross_entropy: smoothing {smoothing} is not in [0, 1]", "a usual share is 0.1")
    need(
        weights is None or weights.shape == logits.shape[1:],
        lambda: f"cross_entropy: weights {weights.shape} for {logits.shape[1]} classes",
        "give one weight per class",
    )
    return Like(labels.shape, logits.dtype), Like(logits.shape, logits.dtype)


@op(flops=lambda z, teacher, **_: 10 * prod(z.shape))
def kl_divergence(z: Any, teacher: Any, *, temperature: float = 1.0, scale: float = 1.0) -> tuple[Like, ...]:
    """Divergence of softened classes from a teacher's, and its gradient by the pupil's logits.

        loss[n] = T^2 * sum_j q[n,j] * ( log q[n,j] - log p[n,j] )                p = softmax(z / T),  q = softmax(teacher / T)
        dz[n,j] = scale * T * ( p[n,j] - q[n,j] )

    z, teacher: (N, K)   temperature T > 0   ->   loss: (N,), dz: (N, K).   T^2 keeps the gradient's size as T grows.
    After Hinton, Vinyals, Dean 2015, "Distilling the knowledge in a neural network" (arXiv 1503.02531).
    """
    need(
        len(z.shape) == 2 and z.shape == teacher.shape,
        lambda: f"kl_divergence: logits {z.shape}, teacher {teacher.shape}",
    )
    need(temperature > 0, lambda: f"kl_divergence: temperature {temperature} must be more than 0")
    return Like(z.shape[:1], z.dtype), Like(z.shape, z.dtype)
