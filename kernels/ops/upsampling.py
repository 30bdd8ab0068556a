"""Images made larger by whole factors."""

from __future__ import annotations

from typing import Any

from ...core.shape import Pair, Shape, prod
from ..op import Like, op
from .rule import need

MODES = ("nearest", "linear")


def _check(name: str, shape: Shape, scale: Pair, mode: str) -> None:
    need(len(shape) == 4, lambda: f"{name}: {shape} must have 4 axes, (N, H, W, C)")
    need(min(scale) >= 1, lambda: f"{name}: scale {scale} must be at least 1")
    need(mode in MODES, lambda: f"{name}: mode {mode!r} is not one of {MODES}")


@op(flops=lambda x, scale, mode: (7 if mode == "linear" else 0) * prod(x.shape) * prod(scale))
def upsample2d(x: Any, scale: Pair, mode: str) -> tuple[Like, ...]:
    """Every pixel becomes scale[0] x scale[1] pixels.

        nearest:  y[n,p,q,c] = x[n, p // scale[0], q // scale[1], c]
        linear:   y[n,p,q,c] = sum over the two h, w on either side of
                               (1 - |h - u|) * (1 - |w - v|) * x[n,h,w,c],    u = (p + 1/2) / scale[0] - 1/2,  v likewise

    u and v, the centre of pixel (p, q) in pixels of x, are moved into [0, H-1] and [0, W-1] (PyTorch's align_corners=False).
    x: (N, H, W, C)  ->  y: (N, scale[0]*H, scale[1]*W, C)
    """
    _check("upsample2d", x.shape, scale, mode)
    n, h, w, c = x.shape
    return (Like((n, h * scale[0], w * scale[1], c), x.dtype),)


@op(flops=lambda dy, scale, mode: (8 if mode == "linear" else 1) * prod(dy.shape))
def upsample2d_dx(dy: Any, scale: Pair, mode: str) -> tuple[Like, ...]:
    """Gradient of upsample2d: every pixel of dx collects what it gave, in (p, q) order.

    dy: (N, P, Q, C)   ->   dx: (N, P / scale[0], Q / scale[1], C)
    """
    _check("upsample2d_dx", dy.shape, scale, mode)
    n, p, q, c = dy.shape
    need(p % scale[0] == q % scale[1] == 0, lambda: f"upsample2d_dx: dy {dy.shape} is not a multiple of scale {scale}")
    return (Like((n, p // scale[0], q // scale[1], c), dy.dtype),)
