"""Adaptive rules on GPUs."""

from __future__ import annotations

import math
from typing import Any

from .update import decayed, update


def adagrad(
    w: Any,
    g: Any,
    squares: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    eps: float,
    initial: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """s <- s + initial + d^2,   w <- w - lr * d / (sqrt(s) + eps)"""
    update("adagrad", w, g, squares, decay=decay, numbers=(lr, eps, initial), weight_decay=weight_decay)


def rmsprop(
    w: Any,
    g: Any,
    square: Any,
    mean: Any,
    velocity: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    """s <- alpha * s + (1 - alpha) * d^2,   w <- w - lr * d / (sqrt(s - m^2) + eps)"""
    numbers = lr, alpha, 1 - alpha, eps, momentum, mean.size > 0, velocity.size > 0
    update("rmsprop", w, g, square, mean, velocity, decay=decay, numbers=numbers, weight_decay=weight_decay)


def adam(
    w: Any,
    g: Any,
    mean: Any,
    square: Any,
    highest: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    corrections: tuple[float, float] = (1.0, 1.0),
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Adam, AdamW (decoupled) and AMSGrad (with `highest`)."""
    shares = 1 - betas[0], 1 - betas[1]
    numbers = *betas, *shares, lr / corrections[0], math.sqrt(corrections[1]), eps, highest.size > 0
    update("adam", w, g, mean, square, highest, decay=decay, numbers=numbers, **decayed(lr, weight_decay, decoupled))


def mixed_adam(
    w: Any,
    g: Any,
    mean: Any,
    square: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    first: tuple[float, float],
    second: tuple[float, float],
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Adam with the gradient mixed into both of its averages."""
    numbers = *betas, 1 - betas[0], 1 - betas[1], lr, eps, *first, *second
    update("mixed_adam", w, g, mean, square, decay=decay, numbers=numbers, **decayed(lr, weight_decay, decoupled))
