"""Gated recurrent unit, as PyTorch and cuDNN compute it: the reset gate acts after the matrix product.

There are two, and weights do not transfer between them; this one needs one product a step. gru_cho.py has the other.
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
    return gradients("gru_dx", dy, h, gates, m, u, lengths) * 2


def gradients(name: str, dy: Any, h: Any, gates: Any, m: Any, u: Any, lengths: Any) -> tuple[Like, ...]:
    state = steps_of(name, 3, gates, u, u, lengths)
    need(
        h.shape == m.shape == state,
        lambda: f"{name}: h {h.shape} and m {m.shape} for gates {gates.shape}; need {state}",
    )
    ends_of(name, dy, state)
    return (Like(gates.shape, dy.dtype),)
