"""Three-dimensional convolution, channels last, and its two gradients."""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, Window, prod
from ..op import Like, op
from .conv2d import correlated
from .rule import epilogue, need


@op(
    flops=lambda x, w, window, groups=1, **_: (
        2 * prod(correlated(3, x.shape, w.shape, window, groups)) * prod(w.shape[1:])
    )
)
def conv3d(
    x: Any, w: Any, window: Window, *, groups: int = 1, bias: Any = None, activation: str | None = None
) -> tuple[Like, ...]:
    """Three-dimensional cross-correlation, channels last, with bias and activation in its epilogue.

        y[n,o,p,q,k] = act( sum_{t,r,s,c} x[n, stride*o + dilation*t - front, stride*p + dilation*r - top,
                                            stride*q + dilation*s - left, g*C/G + c] * w[k,t,r,s,c] + bias[k] )

    x: (N, D, H, W, C)   w: (K, T, R, S, C/G)   bias: (K,)   ->   y: (N, O, P, Q, K);   g = k // (K/G); x is 0 outside.
    Cost: 2*N*O*P*Q*K*T*R*S*C/G flops.
    """
    shape = correlated(3, x.shape, w.shape, window, groups)
    epilogue("conv3d", shape, activation, bias=bias)
    return (Like(shape, x.dtype),)


@op(flops=lambda dy, w, window, size, **_: 2 * prod(dy.shape) * prod(w.shape[1:]))
def conv3d_dx(dy: Any, w: Any, window: Window, size: Shape, *, groups: int = 1) -> tuple[Like, ...]:
    """Gradient of conv3d by its input: the exact adjoint.

    dy: (N, O, P, Q, K)   w: (K, T, R, S, C/G)   size: (D, H, W) of the input   ->   dx: (N, D, H, W, C)
    """
    x = (dy.shape[0], *size, w.shape[-1] * groups)
    expected = correlated(3, x, w.shape, window, groups)
    need(dy.shape == expected, lambda: f"conv3d_dx: dy {dy.shape}, but an input {x} gives {expected}")
    return (Like(x, dy.dtype),)


@op(flops=lambda x, dy, window, groups=1, **_: 2 * prod(dy.shape) * prod(window.kernel) * (x.shape[-1] // groups))
def conv3d_dw(x: Any, dy: Any, window: Window, *, groups: int = 1, accumulate: bool = False) -> tuple[Like, ...]:
    """Gradient of conv3d by its weights.

    x: (N, D, H, W, C)   dy: (N, O, P, Q, K)   ->   dw: (K, T, R, S, C/G)
    """
    w = (dy.shape[-1], *window.kernel, x.shape[-1] // max(groups, 1))
    expected = correlated(3, x.shape, w, window, groups)
    need(dy.shape == expected, lambda: f"conv3d_dw: dy {dy.shape}, but x {x.shape} gives {expected}")
    return (Like(w, x.dtype),)
