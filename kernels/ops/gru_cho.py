"""Gated recurrent unit, as published: the reset gate acts before the matrix product."""

from __future__ import annotations

from typing import Any

from ..op import Like, op
from .gru import gradients
from .recurrent import step_flops, steps_of


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
    return gradients("gru_cho_dx", dy, h, gates, h, u, lengths)
