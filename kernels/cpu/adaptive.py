"""Adaptive rules on CPUs: each is its formula for one element, passed over the buffers by update.py.

Square roots and quotients are rounded correctly by every CPU, so they cost time but no bits.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from .pooling import choose
from .update import decayed, update

centered: bool  # these three are constants of each kernel
moving: bool
amsgrad: bool


def adagrad(
    w: np.ndarray,
    g: np.ndarray,
    squares: np.ndarray,
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    eps: float,
    initial: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    _adagrad(w, g, (squares,), (lr, eps, initial), decay, weight_decay)


@update
def _adagrad(i, w, d, slots, rule):
    (s,) = slots
    lr, eps, initial = rule
    s[i] = (s[i] + initial) + d * d
    return w - lr * d / (math.sqrt(s[i]) + eps)


def rmsprop(
    w: np.ndarray,
    g: np.ndarray,
    square: np.ndarray,
    mean: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    rule = (lr, alpha, 1 - alpha, eps, momentum)
    RMSPROP[mean.size > 0, velocity.size > 0](w, g, (square, mean, velocity), rule, decay, weight_decay)


def _rmsprop(i, w, d, slots, rule):
    s, m, v = slots
    lr, alpha, share, eps, momentum = rule
    s[i] = alpha * s[i] + share * (d * d)
    variance = s[i]
    if centered:  # noqa: F821
        m[i] += share * (d - m[i])
        variance -= m[i] * m[i]
        variance = choose(variance < 0, s.dtype.type(0), variance)  # a NaN is not below 0 and stays
    u = d / (math.sqrt(variance) + eps)
    if moving:  # noqa: F821
        v[i] = momentum * v[i] + u
        u = v[i]
    return w - lr * u


RMSPROP = {flags: update(_rmsprop, centered=flags[0], moving=flags[1]) for flags in product((False, True), repeat=2)}


def adam(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    highest: np.ndarray,
    decay: np.ndarray,
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
    shares = (1 - betas[0], 1 - betas[1])
    rule = (*betas, *shares, lr / corrections[0], math.sqrt(corrections[1]), eps)
    ADAM[highest.size > 0](w, g, (mean, square, highest), rule, decay, *decayed(lr, weight_decay, decoupled))


def _adam(i, w, d, slots, rule):
    m, s, h = slots
    beta1, beta2, share1, share2, step, root, eps = rule
    m[i] = beta1 * m[i] + share1 * d
    s[i] = beta2 * s[i] + share2 * (d * d)
    second = s[i]
    if amsgrad:  # noqa: F821
        second = choose((h[i] > second) | (h[i] != h[i]), h[i], second)  # a NaN becomes the highest, and stays it
        h[i] = second
    return w - step * m[i] / (math.sqrt(second) / root + eps)


ADAM = {amsgrad: update(_adam, amsgrad=amsgrad) for amsgrad in (False, True)}


def mixed_adam(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    decay: np.ndarray,
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
    rule = (*betas, 1 - betas[0], 1 - betas[1], lr, eps, *first, *second)
    _mixed_adam(w, g, (mean, square), rule, decay, *decayed(lr, weight_decay, decoupled))


@update
def _mixed_adam(i, w, d, slots, rule):
    m, s = slots
    beta1, beta2, share1, share2, lr, eps, of_d, of_m, of_d2, of_s = rule
    m[i] = beta1 * m[i] + share1 * d
    s[i] = beta2 * s[i] + share2 * (d * d)
    return w - lr * (of_d * d + of_m * m[i]) / (math.sqrt(of_d2 * (d * d) + of_s * s[i]) + eps)
