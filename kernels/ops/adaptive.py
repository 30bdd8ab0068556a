"""Update rules whose step adapts to each weight: the gradient over the root of its accumulated square.

Each is one pass over flat buffers of n elements. Bias corrections 1 - beta^t come from the caller, who computes the power so
that it is the same on every machine (optim/exact.py). A buffer that a variant does not use is empty, (0,).
"""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import buffers


@op(flops=lambda w, g, squares, decay, **_: 8 * prod(w.shape), updates=("w", "squares"))
def adagrad(
    w: Any, g: Any, squares: Any, decay: Any, *, lr: float, eps: float, initial: float = 0.0, weight_decay: float = 0.0
) -> tuple[Like, ...]:
    """Adagrad: all squared gradients so far, added up.

        d <- g + weight_decay * w      s <- s + initial + d^2      w <- w - lr * d / (sqrt(s) + eps)

    w, g, squares s: (n,)   decay: as in sgd   initial: what s starts from, on the first step only.
    After Duchi, Hazan, Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".
    """
    return buffers("adagrad", w, g, squares, decay=decay)


@op(
    flops=lambda w, g, square, mean, velocity, decay, **_: 14 * prod(w.shape),
    updates=("w", "square", "mean", "velocity"),
)
def rmsprop(
    w: Any,
    g: Any,
    square: Any,
    mean: Any,
    velocity: Any,
    decay: Any,
    *,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[Like, ...]:
    """RMSprop, PyTorch's form: a moving average of the squared gradient, or of its variance.

        d <- g + weight_decay * w                   s <- alpha * s + (1 - alpha) * d^2
        with `mean` (centered):                     m <- m + (1 - alpha) * (d - m)          else m = 0
        u <- d / (sqrt(max(s - m^2, 0)) + eps)
        with `velocity`:   v <- momentum * v + u,   w <- w - lr * v         else w <- w - lr * u

    w, g, square s: (n,)   mean m, velocity v: (n,), or (0,) without   decay: as in sgd. PyTorch has no max with 0, and a
    constant gradient may there end in the root of a negative rounding error.
    After Tieleman and Hinton 2012, "Lecture 6.5"; centered after Graves 2013 (arXiv 1308.0850).
    """
    return buffers("rmsprop", w, g, square, decay=decay, spare=(mean, velocity))


@op(
    flops=lambda w, g, mean, square, highest, decay, **_: 15 * prod(w.shape), updates=("w", "mean", "square", "highest")
)
def adam(
    w: Any,
    g: Any,
    mean: Any,
    square: Any,
    highest: Any,
    decay: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    corrections: tuple[float, float] = (1.0, 1.0),
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Like, ...]:
    """Adam, AdamW (decoupled) and AMSGrad (with `highest`).

        d <- g + weight_decay * w           or, decoupled,   w <- (1 - lr * weight_decay) * w       (inside `decay`)
        m <- betas[0] * m + (1 - betas[0]) * d
        s <- betas[1] * s + (1 - betas[1]) * d^2
        with `highest`:   h <- max(h, s)                     else h = s
        w <- w - lr / corrections[0] * m / (sqrt(h) / sqrt(corrections[1]) + eps)

    w, g, mean m, square s: (n,)   highest h: (n,), or (0,) without   decay: as in sgd
    corrections: 1 - betas^t at step t = 1, 2, ...; (1, 1) is AMSGrad as published.
    After Kingma and Ba 2014, "Adam: a method for stochastic optimization" (arXiv 1412.6980); Loshchilov and Hutter 2019,
    "Decoupled weight decay regularization" (1711.05101); Reddi, Kale, Kumar 2018, "On the convergence of Adam and beyond".
    """
    return buffers("adam", w, g, mean, square, decay=decay, spare=(highest,))


@op(flops=lambda w, g, mean, square, decay, **_: 19 * prod(w.shape), updates=("w", "mean", "square"))
def mixed_adam(
    w: Any,
    g: Any,
    mean: Any,
    square: Any,
    decay: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    first: tuple[float, float],
    second: tuple[float, float],
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Like, ...]:
    """Adam with the gradient mixed into both of its averages: NAdam and QHAdam are choices of the four weights.

        d, m, s as in adam
        w <- w - lr * (first[0] * d + first[1] * m) / (sqrt(second[0] * d^2 + second[1] * s) + eps)

    w, g, mean m, square s: (n,)   decay: as in sgd; the bias corrections are part of the weights (optim/adaptive.py).
    After Dozat 2016, "Incorporating Nesterov momentum into Adam"; Ma and Yarats 2019 (arXiv 1810.06801).
    """
    return buffers("mixed_adam", w, g, mean, square, decay=decay)
