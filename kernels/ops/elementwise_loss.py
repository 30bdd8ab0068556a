"""Losses element by element, and their gradients in the same pass."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import need


def _terms(name: str, z: Any, target: Any) -> tuple[Like, ...]:
    need(
        z.shape == target.shape and z.dtype == target.dtype,
        lambda: f"{name}: the target is {target.dtype}{target.shape} for outputs {z.dtype}{z.shape}",
        "each output needs a number to be compared with",
    )
    return Like(z.shape, z.dtype), Like(z.shape, z.dtype)


@op(flops=lambda z, target, **_: 3 * prod(z.shape))
def mse(z: Any, target: Any, *, scale: float = 1.0) -> tuple[Like, ...]:
    """Squared error: loss[i] = (z[i] - t[i])^2,  dz[i] = scale * 2 * (z[i] - t[i]).   z, target t, loss, dz: one shape."""
    return _terms("mse", z, target)


@op(flops=lambda z, target, **_: 3 * prod(z.shape))
def l1(z: Any, target: Any, *, scale: float = 1.0) -> tuple[Like, ...]:
    """Absolute error: loss[i] = |z[i] - t[i]|,  dz[i] = scale * sign(z[i] - t[i]), 0 where they are equal.   Shapes as in mse."""
    return _terms("l1", z, target)


@op(flops=lambda z, target, **_: 5 * prod(z.shape))
def huber(z: Any, target: Any, *, delta: float = 1.0, scale: float = 1.0) -> tuple[Like, ...]:
    """Squared error near 0, absolute error far from it.

        d = z[i] - t[i]          loss[i] = d^2 / 2  where |d| <= delta,  else delta * (|d| - delta / 2)
        dz[i] = scale * max(-delta, min(delta, d))

    Shapes as in mse; delta > 0.   After Huber 1964, "Robust estimation of a location parameter" (10.1214/aoms/1177703732).
    """
    need(delta > 0, lambda: f"huber: delta {delta} must be more than 0", "the default is 1.0")
    return _terms("huber", z, target)


@op(flops=lambda z, target, **_: 10 * prod(z.shape))
def bce_with_logits(z: Any, target: Any, *, pos_weight: Any = None, scale: float = 1.0) -> tuple[Like, ...]:
    """Binary cross-entropy of independent outputs, from logits; stable for any of them.

        loss[..,k] = (1 - t) * z  +  l * log(1 + exp(-z))                 l = 1 + (pos_weight[k] - 1) * t
        dz[..,k]   = scale * ( l * sigmoid(z) - pos_weight[k] * t )

    z, target t in [0, 1]: (..., K)   pos_weight: (K,), default 1   ->   loss, dz: (..., K).
    """
    need(
        pos_weight is None or pos_weight.shape == z.shape[-1:],
        lambda: f"bce_with_logits: pos_weight {pos_weight.shape} for outputs {z.shape}",
        "give one weight per output",
    )
    return _terms("bce_with_logits", z, target)


@op(flops=lambda z, target, **_: 15 * prod(z.shape))
def focal(z: Any, target: Any, *, gamma: float = 2.0, alpha: float = 0.25, scale: float = 1.0) -> tuple[Like, ...]:
    """Binary cross-entropy that looks away from what is already right.

        s = +1 where t[i] is 1, -1 where it is 0          p = sigmoid(s * z[i])          a = alpha if t[i] is 1 else 1 - alpha
        loss[i] = - a * (1 - p)^gamma * log p             dz[i] = - scale * a * s * (1 - p)^gamma * ( 1 - p - gamma * p * log p )

    Shapes as in mse; a target of more than 1/2 counts as 1.   gamma >= 0.
    After Lin et al. 2017, "Focal loss for dense object detection" (arXiv 1708.02002).
    """
    need(gamma >= 0 and 0 <= alpha <= 1, lambda: f"focal: gamma {gamma} must be at least 0, alpha {alpha} in [0, 1]")
    return _terms("focal", z, target)
