"""Update rules, one line of arithmetic per line of the formula, in the buffers' own dtype.

The order of the operations is part of the definition: replicas on unequal CPUs must hold the same bits, so every
backend rounds where these lines round.
"""

from __future__ import annotations

import numpy as np


def _decayed(w: np.ndarray, g: np.ndarray, decay: np.ndarray, weight_decay: float) -> np.ndarray:
    d = g.copy()
    for start, stop in decay:
        d[start:stop] = g[start:stop] + weight_decay * w[start:stop]
    return d


def sgd(w: np.ndarray, g: np.ndarray, decay: np.ndarray, *, lr: float, weight_decay: float = 0.0) -> np.ndarray:
    return w - lr * _decayed(w, g, decay, weight_decay)


def momentum(
    w: np.ndarray,
    g: np.ndarray,
    v: np.ndarray,
    decay: np.ndarray,
    *,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    first: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    d = _decayed(w, g, decay, weight_decay)
    v = d if first else momentum * v + (1 - dampening) * d
    return w - lr * (d + momentum * v if nesterov else v), v
