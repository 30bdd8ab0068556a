"""Two-dimensional convolution, channels last."""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, Window, prod
from ..op import Like, op
from .rule import GELU, epilogue, need


def correlated(rank: int, x: Shape, w: Shape, window: Window, groups: int) -> Shape:
    """The shape of the correlation of x with w over `rank` axes."""
    name, axes, taps = f"conv{rank}d", ", ".join("DHW"[-rank:]), ", ".join("TRS"[-rank:])
    fits = len(x) == len(w) == rank + 2 and len(window.kernel) == rank
    need(fits, lambda: f"{name}: x {x} must be (N, {axes}, C), w {w} (K, {taps}, C/G) and {window} over {rank} axes")
    need(w[1:-1] == window.kernel, lambda: f"{name}: w {w} has a {w[1:-1]} kernel, the window {window.kernel}")
    need(
        groups >= 1 and x[-1] == w[-1] * groups and w[0] % groups == 0,
        lambda: (
            f"{name}: {x[-1]} input channels, {w[0]} output channels, {groups} groups and w {w} do not fit together"
        ),
        f"w is (K, {taps}, C/G); C and K are multiples of the groups",
    )
    return (x[0], *window.out(*x[1:-1]), w[0])


@op(
    flops=lambda x, w, window, groups=1, **_: (
        2 * prod(correlated(2, x.shape, w.shape, window, groups)) * prod(w.shape[1:])
    )
)
def conv2d(
    x: Any,
    w: Any,
    window: Window,
    *,
    groups: int = 1,
    scale: Any = None,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
) -> tuple[Like, ...]:
    """Two-dimensional cross-correlation, channels last, with all that follows it in a network in its epilogue.

        y[n,p,q,k] = act( scale[k] * sum_{r,s,c} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, g*C/G + c] * w[k,r,s,c]
                          + bias[k] + residual[n,p,q,k] )

    x: (N, H, W, C)   w: (K, R, S, C/G)   scale, bias: (K,)   residual: (N, P, Q, K)   ->   y: (N, P, Q, K);
    g = k // (K/G); x is 0 outside; act: none, "relu" or "gelu".   A batch norm with known means is scale = weight * inverse,
    bias = bias - mean * scale.   Cost: 2*N*P*Q*K*R*S*C/G flops.
    """
    shape = correlated(2, x.shape, w.shape, window, groups)
    epilogue("conv2d", shape, activation, GELU, residual=residual, scale=scale, bias=bias)
    return (Like(shape, x.dtype),)
