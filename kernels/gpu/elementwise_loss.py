"""Losses element by element, and their gradients in the same pass."""

from __future__ import annotations

from typing import Any

from .launch import Source, cover

_kernels = Source("elementwise_loss.cu")


def mse(z: Any, target: Any, *, out: Any, pool: Any = None, scale: float = 1.0) -> None:
    """loss = (z - t)^2"""
    _kernels.launch("mse", *cover(z.size, 1), z, target, *out, z.size, scale)


def l1(z: Any, target: Any, *, out: Any, pool: Any = None, scale: float = 1.0) -> None:
    """loss = |z - t|"""
    _kernels.launch("l1", *cover(z.size, 1), z, target, *out, z.size, scale)


def huber(z: Any, target: Any, *, out: Any, pool: Any = None, delta: float = 1.0, scale: float = 1.0) -> None:
    """Squared error near 0, absolute error far from it."""
    _kernels.launch("huber", *cover(z.size, 1), z, target, *out, z.size, delta, scale)


def bce_with_logits(
    z: Any, target: Any, *, out: Any, pool: Any = None, pos_weight: Any = None, scale: float = 1.0
) -> None:
    """Binary cross-entropy of independent outputs."""
    given, k = z if pos_weight is None else pos_weight, z.shape[-1]
    _kernels.launch(
        "bce_with_logits", *cover(z.size, 1), z, target, given, *out, z.size, k, pos_weight is not None, scale
    )


def focal(
    z: Any, target: Any, *, out: Any, pool: Any = None, gamma: float = 2.0, alpha: float = 0.25, scale: float = 1.0
) -> None:
    """Binary cross-entropy that looks away from what is already right."""
    _kernels.launch("focal", *cover(z.size, 1), z, target, *out, z.size, gamma, alpha, scale)
