"""Update rules in one pass over flat buffers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import flat, need


@op(flops=lambda w, g, decay, **_: 4 * prod(w.shape), updates=("w",))
def sgd(w: Any, g: Any, decay: Any, *, lr: float, weight_decay: float = 0.0) -> tuple[Like, ...]:
    """Stochastic gradient descent in one pass over a flat buffer.

        w <- w - lr * (g + weight_decay * w)        the second term only inside `decay`

    w, g: (n,)   decay: (k, 2) int64, sorted disjoint ranges [start, stop) where weight decay applies.
    After Robbins and Monro 1951, "A stochastic approximation method".
    """
    flat("sgd", w, g)
    need(decay.shape[1:] == (2,) and decay.dtype == np.int64, lambda: f"sgd: decay {decay.dtype}{decay.shape}; need int64 (k, 2)")
    return ()


@op(flops=lambda w, g, v, decay, **_: 6 * prod(w.shape), updates=("w", "v"))
def momentum(
    w: Any,
    g: Any,
    v: Any,
    decay: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    first: bool = False,
) -> tuple[Like, ...]:
    """SGD with momentum, PyTorch's form, in one pass over flat buffers.

        d <- g + weight_decay * w                                   (inside `decay`; else d <- g)
        v <- momentum * v + (1 - dampening) * d                     (first step: v <- d)
        w <- w - lr * v            or, nesterov,   w <- w - lr * (d + momentum * v)

    w, g, v: (n,)   decay: as in sgd.   After Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization
    and momentum in deep learning"; lr stands outside the velocity, so the two forms differ when lr changes.
    """
    flat("momentum", w, g, v)
    need(decay.shape[1:] == (2,) and decay.dtype == np.int64, lambda: f"momentum: decay {decay.dtype}{decay.shape}")
    return ()
