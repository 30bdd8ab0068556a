"""The two gradients of conv2d."""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Window, prod
from ..op import Like, op
from .conv2d import correlated
from .rule import epilogue, need


@op(flops=lambda dy, w, window, size, **_: 2 * prod(dy.shape) * prod(w.shape[1:]))
def conv2d_dx(
    dy: Any, w: Any, window: Window, size: Pair, *, groups: int = 1, bias: Any = None, activation: str | None = None
) -> tuple[Like, ...]:
    """Gradient of conv2d by its input: the exact adjoint. As a layer of its own it is called a transposed convolution, and
    then it has bias and activation in its epilogue.

        dx[n,h,w',c] = act( sum_{k,r,s} dy[n,p,q,k] * w[k,r,s,c] + bias[c] )   over p, q with h = stride*p + dilation*r - top, w' = ...

    dy: (N, P, Q, K)   w: (K, R, S, C/G)   size: (H, W) of the input   bias: (C,)   ->   dx: (N, H, W, C)
    """
    x = (dy.shape[0], *size, w.shape[3] * groups)
    expected = correlated(2, x, w.shape, window, groups)
    need(dy.shape == expected, lambda: f"conv2d_dx: dy {dy.shape}, but an input {x} gives {expected}")
    epilogue("conv2d_dx", x, activation, bias=bias)
    return (Like(x, dy.dtype),)


@op(flops=lambda x, dy, window, groups=1, **_: 2 * prod(dy.shape) * prod(window.kernel) * (x.shape[3] // groups))
def conv2d_dw(x: Any, dy: Any, window: Window, *, groups: int = 1, accumulate: bool = False) -> tuple[Like, ...]:
    """Gradient of conv2d by its weights.

        dw[k,r,s,c] = sum_{n,p,q} dy[n,p,q,k] * x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, g*C/G + c]

    x: (N, H, W, C)   dy: (N, P, Q, K)   ->   dw: (K, R, S, C/G)
    """
    w = (dy.shape[3], *window.kernel, x.shape[3] // max(groups, 1))
    expected = correlated(2, x.shape, w, window, groups)
    need(dy.shape == expected, lambda: f"conv2d_dw: dy {dy.shape}, but x {x.shape} gives {expected}")
    return (Like(w, x.dtype),)
