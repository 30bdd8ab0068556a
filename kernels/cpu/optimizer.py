"""Update rules in one pass over flat buffers: every weight, gradient and velocity is read once and written once.

Compiled without any licence to reorder or to contract a product and a sum into one instruction, and in the order of the
reference: replicas on unequal CPUs get the same bits. A piece is cut at the ends of the decay ranges, so that no inner
loop asks where weight decay applies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel

PIECE = 1 << 14  # elements


def sgd(
    w: np.ndarray, g: np.ndarray, decay: np.ndarray, *, out: Any, pool: Any, lr: float, weight_decay: float = 0.0
) -> None:
    real = w.dtype.type
    _sgd(w, g, decay, real(lr), real(weight_decay), work=3 * w.nbytes)


def momentum(
    w: np.ndarray,
    g: np.ndarray,
    v: np.ndarray,
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
    real = w.dtype.type
    rule = (real(lr), real(momentum), real(1 - dampening), nesterov, first)
    _momentum(w, g, v, decay, rule, real(weight_decay), work=5 * w.nbytes)


@kernel
def _sgd(w, g, decay, lr, weight_decay):
    for piece in prange(-(-w.size // PIECE)):
        at = np.int64(piece) * PIECE
        end = min(at + PIECE, w.size)
        for start, stop in decay:
            start, stop = max(start, at), min(stop, end)
            if start < stop:
                _sgd_run(w[at:start], g[at:start], lr, False, weight_decay)
                _sgd_run(w[start:stop], g[start:stop], lr, True, weight_decay)
                at = stop
        _sgd_run(w[at:end], g[at:end], lr, False, weight_decay)


@njit
def _sgd_run(w, g, lr, decays, weight_decay):
    for i in range(w.size):
        d = g[i] + weight_decay * w[i] if decays else g[i]
        w[i] -= lr * d


@kernel
def _momentum(w, g, v, decay, rule, weight_decay):
    for piece in prange(-(-w.size // PIECE)):
        at = np.int64(piece) * PIECE
        end = min(at + PIECE, w.size)
        for start, stop in decay:
            start, stop = max(start, at), min(stop, end)
            if start < stop:
                _momentum_run(w[at:start], g[at:start], v[at:start], rule, False, weight_decay)
                _momentum_run(w[start:stop], g[start:stop], v[start:stop], rule, True, weight_decay)
                at = stop
        _momentum_run(w[at:end], g[at:end], v[at:end], rule, False, weight_decay)


@njit
def _momentum_run(w, g, v, rule, decays, weight_decay):
    lr, momentum, share, nesterov, first = rule
    for i in range(w.size):
        d = g[i] + weight_decay * w[i] if decays else g[i]
        v[i] = d if first else momentum * v[i] + share * d
        w[i] -= lr * (d + momentum * v[i] if nesterov else v[i])
