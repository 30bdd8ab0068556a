"""The operations: formula, shape rule, flop count. One place, read before any kernel.

Letters: N batch, H W input rows and columns, C input channels, K output channels, R S kernel rows and columns, P Q output
rows and columns, G groups; M N K for gemm. Channels last everywhere. Gradients are called dx, dw after what they belong to.
`accumulate=True` adds into `out` (how gradients are collected).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import UsageError
from ..core.random import Key
from ..core.shape import Pair, Shape, Window, prod
from .op import Like, op

ACTIVATIONS = (None, "relu")


def _need(true: bool, problem: Callable[[], str], cure: str = "") -> None:
    """Raises UsageError unless true; the words are only put together then (a dtype takes microseconds to print)."""
    if not true:
        raise UsageError(problem(), cure)


def _epilogue(name: str, bias: Any, activation: str | None, columns: int) -> None:
    _need(activation in ACTIVATIONS, lambda: f"{name}: activation {activation!r} is not one of {ACTIVATIONS}")
    _need(bias is None or bias.shape == (columns,), lambda: f"{name}: bias {getattr(bias, 'shape', ())} for {columns} columns")


# ---------------------------------------------------------------------------------------------------- GEMM


def _mnk(a: Any, b: Any, trans_a: bool, trans_b: bool) -> tuple[int, int, int]:
    _need(len(a.shape) == 2 and len(b.shape) == 2, lambda: f"gemm: a {a.shape} and b {b.shape} must be matrices")
    m, k = a.shape[::-1] if trans_a else a.shape
    k2, n = b.shape[::-1] if trans_b else b.shape
    _need(k == k2, lambda: f"gemm: a is {m}x{k}, b is {k2}x{n} (after transposition): {k} is not {k2}")
    return m, n, k


@op(flops=lambda a, b, trans_a=False, trans_b=False, **_: 2 * prod(_mnk(a, b, trans_a, trans_b)))
def gemm(
    a: Any,
    b: Any,
    *,
    trans_a: bool = False,
    trans_b: bool = False,
    bias: Any = None,
    activation: str | None = None,
    accumulate: bool = False,
) -> tuple[Like, ...]:
    """Matrix product with bias and activation in its epilogue.

        c[m,n] = act( sum_k a[m,k] * b[k,n] + bias[n] )

    a: (M, K), or (K, M) with trans_a.   b: (K, N), or (N, K) with trans_b.   bias: (N,)   ->   c: (M, N)
    Cost: 2*M*N*K flops.
    """
    m, n, _ = _mnk(a, b, trans_a, trans_b)
    _epilogue("gemm", bias, activation, n)
    _need(not (accumulate and activation), lambda: "gemm: an activation cannot be accumulated")
    return (Like((m, n), a.dtype),)


@op(flops=lambda x, **_: prod(x.shape))
def column_sum(x: Any, *, accumulate: bool = False) -> tuple[Like, ...]:
    """Sum over all axes but the last: the gradient of a bias.

        y[k] = sum_m x[m,k]

    x: (..., K) -> y: (K,)
    """
    return (Like((x.shape[-1],), x.dtype),)


# ---------------------------------------------------------------------------------------------------- convolution


def _conv2d_shapes(x: Shape, w: Shape, window: Window, groups: int) -> Shape:
    _need(len(x) == 4 and len(w) == 4, lambda: f"conv2d: x {x} must be (N, H, W, C) and w {w} (K, R, S, C/G)")
    _need(w[1:3] == window.kernel, lambda: f"conv2d: w {w} has a {w[1:3]} kernel, the window {window.kernel}")
    _need(
        groups >= 1 and x[3] == w[3] * groups and w[0] % groups == 0,
        lambda: f"conv2d: {x[3]} input channels, {w[0]} output channels, {groups} groups and w {w} do not fit together",
        "w is (K, R, S, C/G); C and K are multiples of the groups",
    )
    return (x[0], *window.out(x[1], x[2]), w[0])


@op(
    flops=lambda x, w, window, groups=1, **_: 2
    * prod(_conv2d_shapes(x.shape, w.shape, window, groups))
    * prod(w.shape[1:])
)
def conv2d(
    x: Any, w: Any, window: Window, *, groups: int = 1, bias: Any = None, activation: str | None = None
) -> tuple[Like, ...]:
    """Two-dimensional cross-correlation, channels last, with bias and activation in its epilogue.

        y[n,p,q,k] = act( sum_{r,s,c} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, g*C/G + c] * w[k,r,s,c] + bias[k] )

    x: (N, H, W, C)   w: (K, R, S, C/G)   bias: (K,)   ->   y: (N, P, Q, K);   g = k // (K/G); x is 0 outside.
    Cost: 2*N*P*Q*K*R*S*C/G flops.
    """
    shape = _conv2d_shapes(x.shape, w.shape, window, groups)
    _epilogue("conv2d", bias, activation, w.shape[0])
    return (Like(shape, x.dtype),)


@op(flops=lambda dy, w, window, size, groups=1: 2 * prod(dy.shape) * prod(w.shape[1:]))
def conv2d_dx(dy: Any, w: Any, window: Window, size: Pair, *, groups: int = 1) -> tuple[Like, ...]:
    """Gradient of conv2d by its input: the exact adjoint.

        dx[n,h,w',c] = sum_{k,r,s} dy[n,p,q,k] * w[k,r,s,c]    over p, q with h = stride*p + dilation*r - top, w' = ...

    dy: (N, P, Q, K)   w: (K, R, S, C/G)   size: (H, W) of the input   ->   dx: (N, H, W, C)
    """
    x = (dy.shape[0], *size, w.shape[3] * groups)
    expected = _conv2d_shapes(x, w.shape, window, groups)
    _need(dy.shape == expected, lambda: f"conv2d_dx: dy {dy.shape}, but an input {x} gives {expected}")
    return (Like(x, dy.dtype),)


@op(flops=lambda x, dy, window, groups=1, **_: 2 * prod(dy.shape) * prod(window.kernel) * (x.shape[3] // groups))
def conv2d_dw(x: Any, dy: Any, window: Window, *, groups: int = 1, accumulate: bool = False) -> tuple[Like, ...]:
    """Gradient of conv2d by its weights.

        dw[k,r,s,c] = sum_{n,p,q} dy[n,p,q,k] * x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, g*C/G + c]

    x: (N, H, W, C)   dy: (N, P, Q, K)   ->   dw: (K, R, S, C/G)
    """
    w = (dy.shape[3], *window.kernel, x.shape[3] // max(groups, 1))
    expected = _conv2d_shapes(x.shape, w, window, groups)
    _need(dy.shape == expected, lambda: f"conv2d_dw: dy {dy.shape}, but x {x.shape} gives {expected}")
    return (Like(w, x.dtype),)


# ---------------------------------------------------------------------------------------------------- element-wise, pooling


@op(flops=lambda x: prod(x.shape))
def relu(x: Any) -> tuple[Like, ...]:
    """y = max(x, 0); a NaN stays a NaN."""
    return (Like(x.shape, x.dtype),)


@op(flops=lambda dy, y: prod(dy.shape))
def relu_dx(dy: Any, y: Any) -> tuple[Like, ...]:
    """Gradient of relu from its output: dx = dy where y > 0, else 0. out may be dy itself."""
    _need(dy.shape == y.shape, lambda: f"relu_dx: dy {dy.shape}, y {y.shape}")
    return (Like(dy.shape, dy.dtype),)


@op(flops=lambda x, window: prod(window.kernel) * x.shape[0] * prod(window.out(*x.shape[1:3])) * x.shape[3])
def max_pool2d(x: Any, window: Window) -> tuple[Like, ...]:
    """Maximum over a window, and where it was found.

        y[n,p,q,c] = max_{r,s} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c]

    x: (N, H, W, C)  ->  y: (N, P, Q, C), argmax: (N, P, Q, C) int32, the position h*W + w within the sample.
    Padding never wins (it counts as minus infinity). Among equal values the first in (r, s) order wins. A NaN wins.
    Every window must hold at least one real element, so padding is less than the window's span.
    """
    _need(len(x.shape) == 4, lambda: f"max_pool2d: x {x.shape} must be (N, H, W, C)")
    for k, d, sides in zip(window.kernel, window.dilation, window.padding, strict=True):
        span = d * (k - 1) + 1
        if 2 * max(sides) > span:
            raise UsageError(f"max_pool2d: padding {sides} is more than half of the window's span {span}")
    shape = (x.shape[0], *window.out(*x.shape[1:3]), x.shape[3])
    for n, k, s, d, (before, _), out in zip(
        x.shape[1:3], window.kernel, window.stride, window.dilation, window.padding, shape[1:3], strict=True
    ):
        real = n >= d or all(any(0 <= s * p - before + d * r < n for r in range(k)) for p in range(out))
        if not real:
            raise UsageError(f"max_pool2d: dilation {d} steps over an input of {n}: a window would hold padding only")
    return Like(shape, x.dtype), Like(shape, np.dtype(np.int32))


@op(flops=lambda dy, argmax, size: prod(dy.shape))
def max_pool2d_dx(dy: Any, argmax: Any, size: Pair) -> tuple[Like, ...]:
    """Gradient of max_pool2d: dy goes to the element that won; overlapping windows add, in (p, q) order.

    dy: (N, P, Q, C)   argmax: (N, P, Q, C) int32   size: (H, W)   ->   dx: (N, H, W, C)
    """
    _need(dy.shape == argmax.shape, lambda: f"max_pool2d_dx: dy {dy.shape}, argmax {argmax.shape}")
    _need(argmax.dtype == np.int32, lambda: f"max_pool2d_dx: argmax is {argmax.dtype}, not int32")
    return (Like((dy.shape[0], *size, dy.shape[3]), dy.dtype),)


# ---------------------------------------------------------------------------------------------------- loss


@op(flops=lambda logits, labels, **_: 5 * prod(logits.shape))
def cross_entropy(logits: Any, labels: Any, *, scale: float = 1.0) -> tuple[Like, ...]:
    """Softmax cross-entropy of each sample, and its gradient.

        loss[n] = log( sum_j exp(z[n,j]) ) - z[n,labels[n]]
        dz[n,j] = scale * ( exp(z[n,j]) / sum_i exp(z[n,i])  -  [j == labels[n]] )

    logits z: (N, K)   labels: (N,) int64 in [0, K)   ->   loss: (N,), dz: (N, K).   Stable: the row maximum is subtracted.
    """
    _need(len(logits.shape) == 2, lambda: f"cross_entropy: logits {logits.shape} must be (N, K)")
    _need(
        labels.shape == logits.shape[:1] and labels.dtype == np.int64,
        lambda: f"cross_entropy: labels {labels.dtype}{labels.shape} for logits {logits.shape}; need int64 ({logits.shape[0]},)",
    )
    return Like(labels.shape, logits.dtype), Like(logits.shape, logits.dtype)


# ---------------------------------------------------------------------------------------------------- random bits


@op(flops=lambda samples, key, step, elements: 0)
def random_bits(samples: Any, key: Key, step: int, elements: int) -> tuple[Like, ...]:
    """Philox4x32-10 words, addressed by what they are for.

        bits[i,e] = word (e mod 4) of Philox4x32-10( counter = (e // 4, samples[i], step mod 2^32, step // 2^32), key )

    samples: (N,) int64 in [0, 2^32)   key: two 32-bit words (core.random.key)   ->   bits: (N, elements) uint32
    After Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3" (10.1145/2063384.2063405).
    """
    _need(samples.dtype == np.int64 and len(samples.shape) == 1, lambda: f"random_bits: samples {samples.dtype}{samples.shape}")
    _need(0 <= elements <= 2**34 and step >= 0, lambda: f"random_bits: {elements} elements, step {step}")
    return (Like((samples.shape[0], elements), np.dtype(np.uint32)),)


@op(flops=lambda x, samples, **_: prod(x.shape))
def dropout(
    x: Any, samples: Any, *, rate: float, key: Key, step: int, origin: Shape = (), whole: Shape = ()
) -> tuple[Like, ...]:
    """Zeroes elements with probability rate and scales the rest; applied to dy it is its own gradient.

        y[n,e] = x[n,e] / (1 - rate)   where  bits[n,e] >= floor(rate * 2^32),   else 0

    with bits = random_bits(samples, key, step, .) and e the row-major index in the unsharded sample: a slice of shape
    x.shape[1:] at `origin` of `whole` drops what the whole would (default: x is whole).
    x: (N, ...)   samples: (N,) int64   ->   y: (N, ...).   After Srivastava et al. 2014, "Dropout" (JMLR 15).
    """
    _need(0 <= rate < 1, lambda: f"dropout: rate {rate} is not in [0, 1)")
    _need(samples.shape == x.shape[:1] and samples.dtype == np.int64, lambda: f"dropout: samples {samples.shape} for x {x.shape}")
    _slice("dropout", x.shape[1:], origin, whole)
    return (Like(x.shape, x.dtype),)


def _slice(name: str, shape: Shape, origin: Shape, whole: Shape) -> None:
    _need(bool(origin) == bool(whole), lambda: f"{name}: origin {origin} and whole {whole} go together")
    if whole:
        fits = len(whole) == len(origin) == len(shape)
        fits = fits and all(o + n <= w for o, n, w in zip(origin, shape, whole, strict=True))
        _need(fits, lambda: f"{name}: a slice {shape} at {origin} leaves {whole}")


@op(flops=lambda x, **_: prod(x.shape), updates=("x",))
def fill_uniform(
    x: Any, *, key: Key, low: float, high: float, origin: Shape = (), whole: Shape = ()
) -> tuple[Like, ...]:
    """Fills x from the uniform distribution on [low, high).

        x[e] = low + (high - low) * (bits[e] + 0.5) / 2^32      in float64, then rounded to x's dtype

    with bits = random_bits([0], key, 0, .) and e the row-major index in the unsharded tensor.
    """
    _slice("fill_uniform", x.shape, origin, whole)
    return ()


@op(flops=lambda x, **_: prod(x.shape), updates=("x",))
def fill_normal(x: Any, *, key: Key, deviation: float, origin: Shape = (), whole: Shape = ()) -> tuple[Like, ...]:
    """Fills x from the normal distribution with mean 0.

        x[2j]   = deviation * sqrt(-2 log u) * cos(2 pi v),     x[2j+1] = deviation * sqrt(-2 log u) * sin(2 pi v)

    u = (bits[2j] + 0.5) / 2^32, v = (bits[2j+1] + 0.5) / 2^32, in float64, then rounded; bits as in fill_uniform.
    After Box and Muller 1958, "A note on the generation of random normal deviates".
    """
    _slice("fill_normal", x.shape, origin, whole)
    return ()


# ---------------------------------------------------------------------------------------------------- updates, reductions


def _flat(name: str, *arrays: Any) -> None:
    shapes = [a.shape for a in arrays]
    _need(len(set(shapes)) == 1 and len(shapes[0]) == 1, lambda: f"{name}: buffers {shapes} must be flat and of one length")


@op(flops=lambda w, g, decay, **_: 4 * prod(w.shape), updates=("w",))
def sgd(w: Any, g: Any, decay: Any, *, lr: float, weight_decay: float = 0.0) -> tuple[Like, ...]:
    """Stochastic gradient descent in one pass over a flat buffer.

        w <- w - lr * (g + weight_decay * w)        the second term only inside `decay`

    w, g: (n,)   decay: (k, 2) int64, sorted disjoint ranges [start, stop) where weight decay applies.
    After Robbins and Monro 1951, "A stochastic approximation method".
    """
    _flat("sgd", w, g)
    _need(decay.shape[1:] == (2,) and decay.dtype == np.int64, lambda: f"sgd: decay {decay.dtype}{decay.shape}; need int64 (k, 2)")
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
    _flat("momentum", w, g, v)
    _need(decay.shape[1:] == (2,) and decay.dtype == np.int64, lambda: f"momentum: decay {decay.dtype}{decay.shape}")
    return ()


@op(flops=lambda parts: prod(parts.shape))
def ordered_sum(parts: Any) -> tuple[Like, ...]:
    """Sum in rank order, one rounding per rank: y[i] = ((parts[0,i] + parts[1,i]) + parts[2,i]) + ...

    parts: (P, n) -> y: (n,)
    """
    _need(len(parts.shape) == 2 and parts.shape[0] >= 1, lambda: f"ordered_sum: parts {parts.shape} must be (P, n)")
    return (Like(parts.shape[1:], parts.dtype),)
