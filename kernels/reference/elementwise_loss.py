"""Losses element by element, as their formulas say."""

from __future__ import annotations

import numpy as np

from .recurrent import sigmoid


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def mse(z, target, *, scale=1.0):
    d = z - target
    return d**2, z.dtype.type(2 * scale) * d


def l1(z, target, *, scale=1.0):
    d = z - target
    return abs(d), z.dtype.type(scale) * np.sign(d)


def huber(z, target, *, delta=1.0, scale=1.0):
    d, delta = z - target, z.dtype.type(delta)
    slope = np.clip(d, -delta, delta)
    return slope * (d - slope / 2), z.dtype.type(scale) * slope


def bce_with_logits(z, target, *, pos_weight=None, scale=1.0):
    w = z.dtype.type(1) if pos_weight is None else pos_weight
    share = 1 + (w - 1) * target
    return (1 - target) * z + share * softplus(-z), z.dtype.type(scale) * (share * sigmoid(z) - w * target)


def focal(z, target, *, gamma=2.0, alpha=0.25, scale=1.0):
    real = z.dtype.type
    s = np.where(target > 0.5, real(1), real(-1))
    a = np.where(target > 0.5, real(alpha), real(1 - alpha))
    u = s * z
    p, wrong = sigmoid(u), sigmoid(-u)
    factor = a * wrong ** real(gamma)
    return factor * softplus(-u), -real(scale) * s * factor * (wrong + real(gamma) * p * softplus(-u))
