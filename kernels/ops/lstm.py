"""Long short-term memory: a state that is added to, behind three gates."""

from __future__ import annotations

from typing import Any

from ..op import Like, op
from .recurrent import ends_of, step_flops, steps_of
from .rule import need


@op(flops=lambda a, u, b, **_: step_flops(a, u))
def lstm(a: Any, u: Any, b: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """LSTM over all steps; gates lie in PyTorch's order i, f, g, o.

        s[n,t] = a[n,t] + U h[n,t-1] + b             i, f, o = sigmoid(s_i, s_f, s_o)      g = tanh(s_g)
        c[n,t] = f * c[n,t-1] + i * g                h[n,t] = o * tanh(c[n,t])

    a: (N, T, 4H)   u: (4H, H)   b: (4H,)   lengths: (N,) int64, default T
    ->   h: (N, T, H), c: (N, T, H), gates: (N, T, 4H), which are 0 in masked steps.
    After Hochreiter and Schmidhuber 1997, "Long short-term memory" (10.1162/neco.1997.9.8.1735); Gers, Schmidhuber,
    Cummins 2000, "Learning to forget" (10.1162/089976600300015015).
    """
    state = Like(steps_of("lstm", 4, a, u, b, lengths), a.dtype)
    return state, state, Like(a.shape, a.dtype)


@op(flops=lambda dy, c, gates, u, **_: step_flops(gates, u))
def lstm_dx(dy: Any, c: Any, gates: Any, u: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """Gradient of lstm by a, through all steps.

        dh[n,t] = dy[n,t] + U' da[n,t+1]             dc[n,t] = dh * o * (1 - tanh(c)^2) + dc[n,t+1] * f[n,t+1]
        da[n,t] = ( dc*g * i(1-i),  dc*c[n,t-1] * f(1-f),  dc*i * (1-g^2),  dh*tanh(c) * o(1-o) )

    dy: (N, T, H), or (N, H) for the last step alone   c, gates: the results of lstm   ->   da: (N, T, 4H).
    """
    state = steps_of("lstm_dx", 4, gates, u, u, lengths)
    need(c.shape == state, lambda: f"lstm_dx: c {c.shape} for gates {gates.shape}; need {state}")
    ends_of("lstm_dx", dy, state)
    return (Like(gates.shape, dy.dtype),)
