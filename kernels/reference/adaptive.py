"""Adaptive update rules, one line of arithmetic per line of the formula, rounded where these lines round."""

from __future__ import annotations

import math

import numpy as np

from .optimizer import decayed


def adagrad(
    w: np.ndarray,
    g: np.ndarray,
    squares: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    eps: float,
    initial: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    d = decayed(w, g, decay, weight_decay)
    s = squares + initial + d**2
    return w - lr * d / (np.sqrt(s) + eps), s


def rmsprop(
    w: np.ndarray,
    g: np.ndarray,
    square: np.ndarray,
    mean: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, ...]:
    d = decayed(w, g, decay, weight_decay)
    s = alpha * square + (1 - alpha) * d**2
    m = mean + (1 - alpha) * (d - mean) if mean.size else mean
    variance = np.maximum(s - m**2, 0) if mean.size else s
    u = d / (np.sqrt(variance) + eps)
    v = momentum * velocity + u if velocity.size else velocity
    return w - lr * (v if velocity.size else u), s, m, v


def adam(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    highest: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    corrections: tuple[float, float] = (1.0, 1.0),
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[np.ndarray, ...]:
    w, _, m, s = _moments(w, g, mean, square, decay, betas, lr, weight_decay, decoupled)
    h = np.maximum(highest, s) if highest.size else s
    step = lr / corrections[0] * m / (np.sqrt(h) / math.sqrt(corrections[1]) + eps)
    return w - step, m, s, h if highest.size else highest


def mixed_adam(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    first: tuple[float, float],
    second: tuple[float, float],
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[np.ndarray, ...]:
    w, d, m, s = _moments(w, g, mean, square, decay, betas, lr, weight_decay, decoupled)
    step = lr * (first[0] * d + first[1] * m) / (np.sqrt(second[0] * d**2 + second[1] * s) + eps)
    return w - step, m, s


def _moments(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    decay: np.ndarray,
    betas: tuple[float, float],
    lr: float,
    weight_decay: float,
    decoupled: bool,
) -> tuple[np.ndarray, ...]:
    """Weights (shrunk, if decay is decoupled), gradient, and its two moving averages."""
    if decoupled:
        d, w = g, w.copy()
        for start, stop in decay:
            w[start:stop] *= 1 - lr * weight_decay
    else:
        d = decayed(w, g, decay, weight_decay)
    return w, d, betas[0] * mean + (1 - betas[0]) * d, betas[1] * square + (1 - betas[1]) * d**2
