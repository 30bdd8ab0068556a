"""Descent and momentum on CPUs: each rule is its formula for one element, passed over the buffers by update.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from .update import NOWHERE, update


def sgd(
    w: np.ndarray, g: np.ndarray, decay: np.ndarray, *, out: Any, pool: Any, lr: float, weight_decay: float = 0.0
) -> None:
    _sgd(w, g, (), (lr,), decay, weight_decay)


@update
def _sgd(i, w, d, slots, rule):
    (lr,) = rule
    return w - lr * d


def momentum(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
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
    _momentum(w, g, (velocity,), (lr, momentum, 1 - dampening, nesterov, first), decay, weight_decay)


@update
def _momentum(i, w, d, slots, rule):
    (v,) = slots
    lr, momentum, share, nesterov, first = rule
    v[i] = d if first else momentum * v[i] + share * d
    return w - lr * (d + momentum * v[i] if nesterov else v[i])


def sutskever(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> None:
    _sutskever(w, g, (velocity,), (lr, momentum), decay, weight_decay)


@update
def _sutskever(i, w, d, slots, rule):
    (v,) = slots
    lr, momentum = rule
    v[i] = momentum * v[i] - lr * d
    return w + v[i]


def look_ahead(w: np.ndarray, exact: np.ndarray, velocity: np.ndarray, *, out: Any, pool: Any, momentum: float) -> None:
    _look_ahead(w, velocity, (exact,), (momentum,), NOWHERE)  # the velocity stands where gradients do


@update
def _look_ahead(i, w, v, slots, rule):
    (x,) = slots
    (momentum,) = rule
    x[i] = w
    return w + momentum * v


def nag(
    w: np.ndarray,
    g: np.ndarray,
    exact: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> None:
    _nag(w, g, (exact, velocity), (lr, momentum), decay, weight_decay)


@update
def _nag(i, w, d, slots, rule):
    x, v = slots
    lr, momentum = rule
    v[i] = momentum * v[i] - lr * d
    x[i] += v[i]
    return x[i]


def qhm(
    w: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    momentum: float,
    nu: float,
    weight_decay: float = 0.0,
) -> None:
    _qhm(w, g, (velocity,), (lr, momentum, 1 - momentum, nu, 1 - nu), decay, weight_decay)


@update
def _qhm(i, w, d, slots, rule):
    (v,) = slots
    lr, momentum, share, nu, rest = rule
    v[i] = momentum * v[i] + share * d
    return w - lr * (rest * d + nu * v[i])


def aggmo(
    w: np.ndarray,
    g: np.ndarray,
    velocities: tuple[np.ndarray, ...],
    decay: np.ndarray,
    *,
    out: Any,
    pool: Any,
    lr: float,
    betas: tuple[float, ...],
    weight_decay: float = 0.0,
) -> None:
    _aggmo(w, g, velocities, (lr / len(betas), *betas), decay, weight_decay)


@update
def _aggmo(i, w, d, slots, rule):
    total = slots[0].dtype.type(0)
    for k in range(len(slots)):
        v = slots[k]
        v[i] = rule[1 + k] * v[i] + d
        total += v[i]
    return w - rule[0] * total
