"""Matrix products and sums of columns."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from ..op import Like, op
from .rule import epilogue, need


def mnk(a: Any, b: Any, trans_a: bool, trans_b: bool) -> tuple[int, int, int]:
    need(len(a.shape) == 2 and len(b.shape) == 2, lambda: f"gemm: a {a.shape} and b {b.shape} must be matrices")
    m, k = a.shape[::-1] if trans_a else a.shape
    k2, n = b.shape[::-1] if trans_b else b.shape
    need(k == k2, lambda: f"gemm: a is {m}x{k}, b is {k2}x{n} (after transposition): {k} is not {k2}")
    return m, n, k


@op(flops=lambda a, b, trans_a=False, trans_b=False, **_: 2 * prod(mnk(a, b, trans_a, trans_b)))
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
    m, n, _ = mnk(a, b, trans_a, trans_b)
    epilogue("gemm", bias, activation, n)
    need(not (accumulate and activation), lambda: "gemm: an activation cannot be accumulated")
    return (Like((m, n), a.dtype),)


@op(flops=lambda x, **_: prod(x.shape))
def column_sum(x: Any, *, accumulate: bool = False) -> tuple[Like, ...]:
    """Sum over all axes but the last: the gradient of a bias.

        y[k] = sum_m x[m,k]

    x: (..., K) -> y: (K,)
    """
    return (Like((x.shape[-1],), x.dtype),)
