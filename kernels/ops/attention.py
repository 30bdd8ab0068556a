"""Scaled dot-product attention with several heads, on queries, keys and values as one projection leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import need


def attention_shapes(name: str, qkv: Any, heads: int, mask: Any) -> tuple[Shape, Shape]:
    """(N, T, C) and (N, heads, T, T); UsageError where the operands do not fit."""
    need(
        len(qkv.shape) == 3 and heads >= 1 and qkv.shape[2] % (3 * heads) == 0,
        lambda: f"{name}: qkv {qkv.shape} must be (N, T, 3C) with C a multiple of {heads} heads",
    )
    n, steps, width = qkv.shape
    need(
        mask is None or (mask.shape == (n, steps) and mask.dtype == np.bool_),
        lambda: f"{name}: mask {mask.dtype}{mask.shape} for qkv {qkv.shape}; need bool {(n, steps)}",
    )
    return (n, steps, width // 3), (n, heads, steps, steps)


def _flops(qkv: Any, products: int) -> int:
    return products * 2 * prod(qkv.shape) // 3 * qkv.shape[1]


@op(flops=lambda qkv, **_: _flops(qkv, 2))
def attention(qkv: Any, *, heads: int, causal: bool = False, mask: Any = None) -> tuple[Like, ...]:
    """Multi-head attention of every step of a sequence to every step.

        p[n,h,t,s] = softmax over s of  q[n,h,t,:] . k[n,h,s,:] / sqrt(D)          over the valid s
        y[n,t,h*D+d] = sum_s p[n,h,t,s] * v[n,h,s,d]

    qkv: (N, T, 3C), queries, keys and values one after the other, each (heads, D)   mask: (N, T) bool, True where a key
    is valid, default everywhere; causal: s > t is not valid   ->   y: (N, T, C), p: (N, heads, T, T).
    A step without a valid key, or with no score above minus infinity, gives zeros. Values that are masked must be finite all
    the same: 0 * NaN is NaN.
    Cost: 4*N*T*T*C flops, causal or not.   After Vaswani et al. 2017, "Attention is all you need" (arXiv 1706.03762).
    """
    y, p = attention_shapes("attention", qkv, heads, mask)
    return Like(y, qkv.dtype), Like(p, qkv.dtype)


@op(flops=lambda dy, qkv, p, **_: _flops(qkv, 4))
def attention_dx(dy: Any, qkv: Any, p: Any, *, heads: int) -> tuple[Like, ...]:
    """Gradient of attention by qkv.

        dv[s] = sum_t p[t,s] dy[t]              dp[t,s] = dy[t] . v[s]          ds = p * (dp - sum_s' p dp) / sqrt(D)
        dq[t] = sum_s ds[t,s] k[s]              dk[s] = sum_t ds[t,s] q[t]      in every head of every sample

    dy: (N, T, C)   p: the second result of attention, which is 0 where a key was not valid   ->   dqkv: (N, T, 3C).
    """
    shapes = attention_shapes("attention_dx", qkv, heads, None)
    need(
        (dy.shape, p.shape) == shapes,
        lambda: f"attention_dx: dy {dy.shape} and p {p.shape} for qkv {qkv.shape} with {heads} heads; need {shapes[0]} and {shapes[1]}",
    )
    return (Like(qkv.shape, dy.dtype),)
