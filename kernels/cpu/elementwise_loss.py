"""Losses element by element: one loop for all of them, each its own copy of it with another rule.

Memory is cut into lines, along which the weights of the outputs are repeated (columns.py), so the inner loop has no
remainder to take. A loss without weights has a line of ones that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from .columns import LINE, job, repeated
from .compile import Kernel, kernel, specialised
from .exponential import exp, sigmoid, softplus
from .pooling import choose
from .precision import by_precision

element: Any = None  # other functions in each copy of the loops, see elementwise_loss
run: Any = None


def elementwise_loss(element: Callable) -> Kernel:
    """The kernel of  loss[i], slope = element(z[i], t[i], w[i], rule),  dz[i] = scale * slope."""
    name = element.__name__
    run = njit(error_model="numpy")(specialised(_run, f"{name}_run", element=by_precision(element)))
    return kernel(specialised(_lines, f"{name}_lines", run=run))


def _run(z, t, w, rule, scale, loss, dz):
    for i in range(z.size):
        loss[i], slope = element(z[i], t[i], w[i], rule)
        dz[i] = scale * slope


def _lines(z, t, w, step, rule, scale, loss, dz):
    for index in prange(-(-z.size // step)):
        start = np.int64(index) * step
        for at in range(start, min(start + step, z.size), w.size):
            end = min(at + w.size, z.size)
            run(z[at:end], t[at:end], w, rule, scale, loss[at:end], dz[at:end])


def _apply(kernel: Kernel, z: Any, target: Any, out: Any, rule: tuple, scale: float, weights: Any, cost: int) -> None:
    real, (loss, dz) = z.dtype.type, out
    w = np.ones(LINE, z.dtype) if weights is None else weights
    flat = z.reshape(-1), target.reshape(-1), w, job(w.size), tuple(map(real, rule)), real(scale)
    kernel(*flat, loss.reshape(-1), dz.reshape(-1), work=cost * z.size)


@elementwise_loss
def _mse(z, t, w, rule):
    d = z - t
    return d * d, d + d


@elementwise_loss
def _l1(z, t, w, rule):
    d = z - t
    return abs(d), choose(d > 0.0, 1.0, choose(d < 0.0, -1.0, d))  # 0 stays 0, a NaN stays a NaN


@elementwise_loss
def _huber(z, t, w, rule):
    d, (delta,) = z - t, rule
    slope = choose(d > delta, delta, choose(d < -delta, -delta, d))
    return slope * (d - 0.5 * slope), slope


@elementwise_loss
def _bce(z, t, w, rule):
    share = 1.0 + (w - 1.0) * t
    return (1.0 - t) * z + share * softplus(-z), share * sigmoid(z) - w * t


@elementwise_loss
def _focal(z, t, w, rule):
    gamma, alpha = rule
    true = t > 0.5
    sign, balance = choose(true, 1.0, -1.0), choose(true, alpha, 1.0 - alpha)
    u = sign * z
    surprise = softplus(-u)
    factor = balance * exp(-gamma * softplus(u))
    return factor * surprise, -sign * factor * (sigmoid(-u) + gamma * sigmoid(u) * surprise)


def mse(z: np.ndarray, target: np.ndarray, *, out: tuple, pool: Any, scale: float = 1.0) -> None:
    _apply(_mse, z, target, out, (), scale, None, 4 * z.itemsize)


def l1(z: np.ndarray, target: np.ndarray, *, out: tuple, pool: Any, scale: float = 1.0) -> None:
    _apply(_l1, z, target, out, (), scale, None, 4 * z.itemsize)


def huber(z: np.ndarray, target: np.ndarray, *, out: tuple, pool: Any, delta: float = 1.0, scale: float = 1.0) -> None:
    _apply(_huber, z, target, out, (delta,), scale, None, 4 * z.itemsize)


def bce_with_logits(
    z: np.ndarray,
    target: np.ndarray,
    *,
    out: tuple,
    pool: Any,
    pos_weight: np.ndarray | None = None,
    scale: float = 1.0,
) -> None:
    weights = None if pos_weight is None else repeated([pos_weight], z.dtype, pool)[0]
    _apply(_bce, z, target, out, (), scale, weights, 60)


def focal(
    z: np.ndarray,
    target: np.ndarray,
    *,
    out: tuple,
    pool: Any,
    gamma: float = 2.0,
    alpha: float = 0.25,
    scale: float = 1.0,
) -> None:
    _apply(_focal, z, target, out, (gamma, alpha), scale, None, 120)
