"""Matrix products and sums of columns."""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import GELU, epilogue, need


def mnk(a: Shape, b: Shape, trans_a: bool, trans_b: bool, name: str = "gemm") -> tuple[int, int, int]:
    need(len(a) == 2 and len(b) == 2, lambda: f"{name}: a {a} and b {b} must be matrices")
    m, k = a[::-1] if trans_a else a
    k2, n = b[::-1] if trans_b else b
    need(k == k2, lambda: f"{name}: a is {m}x{k}, b is {k2}x{n} (after transposition): {k} is not {k2}")
    return m, n, k


def one_addend(name: str, beta: float, residual: Any, activation: str | None) -> None:
    """Of a product that starts from `out`: there is no second array to start from, and `out` holds no activation's result."""
    need(
        not (beta and activation),
        lambda: f"{name}: an activation cannot be added to beta * out",
        "give out as residual",
    )
    need(
        not (beta and residual is not None),
        lambda: f"{name}: beta = {beta} adds out, and the residual is another",
        "use one",
    )


@op(flops=lambda a, b, trans_a=False, trans_b=False, **_: 2 * prod(mnk(a.shape, b.shape, trans_a, trans_b)))
def gemm(
    a: Any,
    b: Any,
    *,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
) -> tuple[Like, ...]:
    """Matrix product with all that follows it in a network in its epilogue.

        c[m,n] = act( alpha * sum_k a[m,k] * b[k,n] + bias[n] + residual[m,n] )      or, with beta,
        c[m,n] = alpha * sum_k a[m,k] * b[k,n] + bias[n] + beta * c[m,n]

    a: (M, K), or (K, M) with trans_a.   b: (K, N), or (N, K) with trans_b.   bias: (N,)   residual: (M, N)   ->   c: (M, N)
    act: none, "relu" or "gelu".   beta: 0 does not read out; 1 is what `accumulate` is in a gradient.   Cost: 2*M*N*K flops.
    """
    m, n, _ = mnk(a.shape, b.shape, trans_a, trans_b)
    epilogue("gemm", (m, n), activation, GELU, residual=residual, bias=bias)
    one_addend("gemm", beta, residual, activation)
    return (Like((m, n), a.dtype),)


@op(
    flops=lambda a, b, trans_a=False, trans_b=False, **_: (
        2 * a.shape[0] * prod(mnk(a.shape[1:], b.shape[1:], trans_a, trans_b))
    )
)
def batched_gemm(
    a: Any,
    b: Any,
    *,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
) -> tuple[Like, ...]:
    """A gemm for every g.

        c[g] = act( alpha * a[g] b[g] + bias[g] + residual[g] )      or, with beta,      c[g] = alpha * a[g] b[g] + bias[g] + beta * c[g]

    a: (G, M, K), or (G, K, M) with trans_a.   b: (G, K, N), or (G, N, K) with trans_b.   bias: (G, N)   residual: (G, M, N)
    ->   c: (G, M, N).   Cost: 2*G*M*N*K flops.
    """
    groups = a.shape[0] if len(a.shape) == len(b.shape) == 3 else 0
    need(
        0 < groups == b.shape[0],
        lambda: f"batched_gemm: a {a.shape} and b {b.shape} must be as many matrices, at least one",
    )
    m, n, _ = mnk(a.shape[1:], b.shape[1:], trans_a, trans_b, "batched_gemm")
    need(bias is None or bias.shape == (groups, n), lambda: f"batched_gemm: bias {bias.shape} must be {(groups, n)}")
    epilogue("batched_gemm", (groups, m, n), activation, GELU, residual=residual)
    one_addend("batched_gemm", beta, residual, activation)
    return (Like((groups, m, n), a.dtype),)


@op(flops=lambda x, **_: prod(x.shape))
def column_sum(x: Any, *, accumulate: bool = False) -> tuple[Like, ...]:
    """Sum over all axes but the last: the gradient of a bias.

        y[k] = sum_m x[m,k]

    x: (..., K) -> y: (K,)
    """
    return (Like((x.shape[-1],), x.dtype),)
