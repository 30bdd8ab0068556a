"""Update rules, one line of arithmetic per line of the formula, in the buffers' own dtype.

The order of the operations is part of the definition: replicas on unequal CPUs must hold the same bits, so every
backend rounds where these lines round.
"""

from __future__ import annotations

import numpy as np


def decayed(w: np.ndarray, g: np.ndarray, decay: np.ndarray, weight_decay: float) -> np.ndarray:
    d = g.copy()
    for start, stop in decay:
        d[start:stop] = g[start:stop] + weight_decay * w[start:stop]
    return d


def sgd(w: np.ndarray, g: np.ndarray, decay: np.ndarray, *, lr: float, weight_decay: float = 0.0) -> np.ndarray:
    return w - lr * decayed(w, g, decay, weight_decay)


def momentum(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    first: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    d = decayed(w, g, decay, weight_decay)
    v = d if first else momentum * velocity + (1 - dampening) * d
    return w - lr * (d + momentum * v if nesterov else v), v


def sutskever(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    v = momentum * velocity - lr * decayed(w, g, decay, weight_decay)
    return w + v, v


def look_ahead(
    w: np.ndarray, exact: np.ndarray, velocity: np.ndarray, *, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    return w + momentum * velocity, w.copy()


def nag(
    w: np.ndarray,
    g: np.ndarray,
    exact: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    v = momentum * velocity - lr * decayed(w, g, decay, weight_decay)
    return exact + v, exact + v, v


def qhm(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    momentum: float,
    nu: float,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    d = decayed(w, g, decay, weight_decay)
    v = momentum * velocity + (1 - momentum) * d
    return w - lr * ((1 - nu) * d + nu * v), v


def aggmo(
    w: np.ndarray,
    g: np.ndarray,
    velocities: tuple[np.ndarray, ...],
    decay: np.ndarray,
    *,
    lr: float,
    betas: tuple[float, ...],
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, ...]:
    d = decayed(w, g, decay, weight_decay)
    moved = [beta * v + d for beta, v in zip(betas, velocities, strict=True)]
    return w - lr / len(betas) * sum(moved), *moved
