"""Update rules whose step is linear in the gradients: plain descent and the kinds of momentum.

Each is one pass over flat buffers of n elements: weights, gradients and state are read once and written once. Powers of
the step (bias corrections, schedules) are numbers that the caller hands in, so a rule knows no time.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import buffers, need


@op(flops=lambda w, g, decay, **_: 4 * prod(w.shape), updates=("w",))
def sgd(w: Any, g: Any, decay: Any, *, lr: float, weight_decay: float = 0.0) -> tuple[Like, ...]:
    """Stochastic gradient descent.

        w <- w - lr * (g + weight_decay * w)        the second term only inside `decay`

    w, g: (n,)   decay: (k, 2) int64, sorted disjoint ranges [start, stop) where weight decay applies.
    After Robbins and Monro 1951, "A stochastic approximation method".
    """
    return buffers("sgd", w, g, decay=decay)


@op(flops=lambda w, g, velocity, decay, **_: 6 * prod(w.shape), updates=("w", "velocity"))
def momentum(
    w: Any,
    g: Any,
    velocity: Any,
    decay: Any,
    *,
    lr: float,
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    first: bool = False,
) -> tuple[Like, ...]:
    """SGD with momentum, PyTorch's form: lr stands outside the velocity.

        d <- g + weight_decay * w                                   (inside `decay`; else d <- g)
        v <- momentum * v + (1 - dampening) * d                     (first step: v <- d)
        w <- w - lr * v            or, nesterov,   w <- w - lr * (d + momentum * v)

    w, g, velocity v: (n,)   decay: as in sgd.   It equals `sutskever` while lr is constant; when lr drops, the step here
    shrinks at once. nesterov keeps the look-ahead point in w: w = x + momentum * v of the exact form (`nag`).
    """
    return buffers("momentum", w, g, velocity, decay=decay)


@op(flops=lambda w, g, velocity, decay, **_: 6 * prod(w.shape), updates=("w", "velocity"))
def sutskever(
    w: Any, g: Any, velocity: Any, decay: Any, *, lr: float, momentum: float, weight_decay: float = 0.0
) -> tuple[Like, ...]:
    """SGD with momentum as first written down: lr stands inside the velocity.

        d <- g + weight_decay * w      v <- momentum * v - lr * d      w <- w + v

    w, g, velocity v: (n,)   decay: as in sgd.   After Sutskever, Martens, Dahl, Hinton 2013, "On the importance of
    initialization and momentum in deep learning".
    """
    return buffers("sutskever", w, g, velocity, decay=decay)


@op(flops=lambda w, exact, velocity, **_: 2 * prod(w.shape), updates=("w", "exact"))
def look_ahead(w: Any, exact: Any, velocity: Any, *, momentum: float) -> tuple[Like, ...]:
    """The point where Nesterov's method takes the gradient.

    x <- w      w <- w + momentum * v               w, exact x, velocity v: (n,)
    """
    return buffers("look_ahead", w, exact, velocity)


@op(flops=lambda w, g, exact, velocity, decay, **_: 6 * prod(w.shape), updates=("w", "exact", "velocity"))
def nag(
    w: Any, g: Any, exact: Any, velocity: Any, decay: Any, *, lr: float, momentum: float, weight_decay: float = 0.0
) -> tuple[Like, ...]:
    """Nesterov's accelerated gradient, exact form: g is the gradient at w = x + momentum * v, which `look_ahead` wrote.

        d <- g + weight_decay * w      v <- momentum * v - lr * d      x <- x + v      w <- x

    w, g, exact x, velocity v: (n,)   decay: as in sgd.   After Nesterov 1983, "A method for solving the convex programming
    problem with convergence rate O(1/k^2)", as written by Sutskever et al. 2013.
    """
    return buffers("nag", w, g, exact, velocity, decay=decay)


@op(flops=lambda w, g, velocity, decay, **_: 9 * prod(w.shape), updates=("w", "velocity"))
def qhm(
    w: Any, g: Any, velocity: Any, decay: Any, *, lr: float, momentum: float, nu: float, weight_decay: float = 0.0
) -> tuple[Like, ...]:
    """Quasi-hyperbolic momentum: a mean of the gradient and of its moving average.

        d <- g + weight_decay * w      v <- momentum * v + (1 - momentum) * d      w <- w - lr * ((1 - nu) * d + nu * v)

    w, g, velocity v: (n,)   decay: as in sgd.   After Ma and Yarats 2019, "Quasi-hyperbolic momentum and Adam for deep
    learning" (arXiv 1810.06801).
    """
    return buffers("qhm", w, g, velocity, decay=decay)


@op(flops=lambda w, g, velocities, decay, **_: (4 + 3 * len(velocities)) * prod(w.shape), updates=("w", "velocities"))
def aggmo(
    w: Any, g: Any, velocities: tuple, decay: Any, *, lr: float, betas: tuple[float, ...], weight_decay: float = 0.0
) -> tuple[Like, ...]:
    """Aggregated momentum: the mean of K velocities that forget at different rates.

        d <- g + weight_decay * w      v[k] <- betas[k] * v[k] + d      w <- w - lr / K * (v[0] + v[1] + ...)

    w, g: (n,)   velocities: K >= 1 buffers (n,)   decay: as in sgd.   After Lucas, Sun, Zemel, Grosse 2019, "Aggregated
    momentum: stability through passive damping" (arXiv 1804.00325).
    """
    need(len(velocities) == len(betas) >= 1, lambda: f"aggmo: {len(velocities)} velocities for betas {betas}")
    return buffers("aggmo", w, g, *velocities, decay=decay)
