"""Gated recurrent units, the two that there are: the reset gate acts after the matrix product, or before it.

Weights do not transfer between them. The first needs one product a step and is what PyTorch and cuDNN compute; the second
is the one that was published.
"""

from __future__ import annotations

from typing import Any

from ..op import Like, op
from .recurrent import ends_of, step_flops, steps_of
from .rule import need


@op(flops=lambda a, u, b, **_: step_flops(a, u))
def gru(a: Any, u: Any, b: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """GRU with the reset gate after the product; gates lie in PyTorch's order r, z, n.

        r, z = sigmoid( a_rz[n,t] + U_rz h[n,t-1] + b_rz )           m = U_n h[n,t-1] + b_n
        h[n,t] = (1 - z) * tanh( a_n[n,t] + r * m ) + z * h[n,t-1]

    a: (N, T, 3H)   u: (3H, H)   b: (3H,)   lengths: (N,) int64, default T
    ->   h: (N, T, H), gates r, z, n: (N, T, 3H), m: (N, T, H); gates and m are 0 in masked steps.
    """
    state = Like(steps_of("gru", 3, a, u, b, lengths), a.dtype)
    return state, Like(a.shape, a.dtype), state


@op(flops=lambda dy, h, gates, m, u, **_: step_flops(gates, u))
def gru_dx(dy: Any, h: Any, gates: Any, m: Any, u: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """Gradients of gru by a, and by the recurrent share s = U h + b, through all steps.

        da[n,t] = ( da_n * m * r(1-r),  dh * (h[n,t-1] - n) * z(1-z),  dh * (1-z) * (1-n^2) )
        ds[n,t] = ( da_r, da_z, r * da_n )               dh[n,t] = dy[n,t] + U' ds[n,t+1] + z[n,t+1] * dh[n,t+1]

    dy: (N, T, H), or (N, H) for the last step alone   h, gates, m: the results of gru   ->   da, ds: (N, T, 3H).
    """
    return _gradients("gru_dx", dy, h, gates, m, u, lengths) * 2


@op(flops=lambda a, u, b, **_: step_flops(a, u))
def gru_cho(a: Any, u: Any, b: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """GRU with the reset gate before the product; gates lie in the order r, z, n.

        r, z = sigmoid( a_rz[n,t] + U_rz h[n,t-1] + b_rz )           m = r * h[n,t-1]
        h[n,t] = z * h[n,t-1] + (1 - z) * tanh( a_n[n,t] + U_n m + b_n )

    Shapes as in gru.   After Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation" (arXiv 1406.1078).
    """
    state = Like(steps_of("gru_cho", 3, a, u, b, lengths), a.dtype)
    return state, Like(a.shape, a.dtype), state


@op(flops=lambda dy, h, gates, u, **_: step_flops(gates, u))
def gru_cho_dx(dy: Any, h: Any, gates: Any, u: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """Gradient of gru_cho by a, through all steps.

        dm = U_n' da_n          da[n,t] = ( dm * h[n,t-1] * r(1-r),  dh * (h[n,t-1] - n) * z(1-z),  dh * (1-z) * (1-n^2) )
        dh[n,t] = dy[n,t] + U_rz' da_rz[n,t+1] + z[n,t+1] * dh[n,t+1] + r[n,t+1] * dm[n,t+1]

    dy: (N, T, H), or (N, H) for the last step alone   h, gates: the results of gru_cho   ->   da: (N, T, 3H).
    """
    return _gradients("gru_cho_dx", dy, h, gates, h, u, lengths)


def _gradients(name: str, dy: Any, h: Any, gates: Any, m: Any, u: Any, lengths: Any) -> tuple[Like, ...]:
    state = steps_of(name, 3, gates, u, u, lengths)
    need(h.shape == m.shape == state, lambda: f"{name}: h {h.shape} and m {m.shape} for gates {gates.shape}; need {state}")
    ends_of(name, dy, state)
    return (Like(gates.shape, dy.dtype),)
