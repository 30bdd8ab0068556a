"""Descent and momentum on GPUs: one launch over the whole arena for each update."""

from __future__ import annotations

from typing import Any

from . import update as _update
from .memory import scratch
from .update import update


def sgd(w: Any, g: Any, decay: Any, *, out: Any, pool: Any, lr: float, weight_decay: float = 0.0) -> None:
    """w <- w - lr * d"""
    update("sgd", w, g, decay=decay, numbers=(lr,), weight_decay=weight_decay)


def momentum(
    w: Any,
    g: Any,
    velocity: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    first: bool = False,
) -> None:
    """v <- momentum * v + (1 - dampening) * d,   w <- w - lr * v"""
    numbers = lr, momentum, 1 - dampening, nesterov, first
    update("momentum", w, g, velocity, decay=decay, numbers=numbers, weight_decay=weight_decay)


def sutskever(
    w: Any,
    g: Any,
    velocity: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> None:
    """v <- momentum * v - lr * d,   w <- w + v"""
    update("sutskever", w, g, velocity, decay=decay, numbers=(lr, momentum), weight_decay=weight_decay)


def look_ahead(w: Any, exact: Any, velocity: Any, *, out: Any, pool: Any, momentum: float) -> None:
    """x <- w,   w <- w + momentum * v"""
    _update.look_ahead(w, exact, velocity, momentum)


def nag(
    w: Any,
    g: Any,
    exact: Any,
    velocity: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> None:
    """v <- momentum * v - lr * d,   x <- x + v,   w <- x"""
    update("nag", w, g, exact, velocity, decay=decay, numbers=(lr, momentum), weight_decay=weight_decay)


def qhm(
    w: Any,
    g: Any,
    velocity: Any,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    nu: float,
    weight_decay: float = 0.0,
) -> None:
    """v <- momentum * v + (1 - momentum) * d,   w <- w - lr * ((1 - nu) * d + nu * v)"""
    numbers = lr, momentum, 1 - momentum, nu, 1 - nu
    update("qhm", w, g, velocity, decay=decay, numbers=numbers, weight_decay=weight_decay)


def aggmo(
    w: Any,
    g: Any,
    velocities: tuple,
    decay: Any,
    *,
    out: Any,
    pool: Any,
    lr: float,
    betas: tuple[float, ...],
    weight_decay: float = 0.0,
) -> None:
    """v[k] <- betas[k] * v[k] + d,   w <- w - lr / K * (v[0] + v[1] + ...): a launch for each velocity."""
    total, last = scratch(pool, w, w.shape, w.dtype), len(betas) - 1
    for k, (beta, velocity) in enumerate(zip(betas, velocities, strict=True)):
        numbers = lr / len(betas), beta, k == 0, k == last
        update("aggmo", w, g, velocity, total, decay=decay, numbers=numbers, weight_decay=weight_decay)
