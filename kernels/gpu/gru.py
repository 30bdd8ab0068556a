"""GRU with the reset gate after the product."""

from __future__ import annotations

from typing import Any

from .recurrent import Recurrence


def gru(a: Any, u: Any, b: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """h = (1 - z) * tanh( a_n + r * (U_n h + b_n) ) + z * h"""
    h, gates, m = out
    r = Recurrence(a, u, lengths, pool)
    s = r.state(3)
    for t in range(r.steps):
        if t:
            r.forward(h, t - 1, s)
        r.launch("gru_gates", a, s, b, r.lengths, h, gates, m, t=t, flags=(r.masked, True))
        r.launch("gru_state", a, s, b, r.lengths, h, gates, m, t=t, flags=(r.masked, True))


def gru_dx(dy: Any, h: Any, gates: Any, m: Any, u: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """Gradients by a, and by the recurrent share, through all steps."""
    da, ds = out
    r = Recurrence(h, u, lengths, pool)
    dh = r.state()
    dh[...] = 0
    for t in reversed(range(r.steps)):
        r.launch("gru_dx", dy, h, gates, m, r.lengths, dh, da, ds, t=t, flags=(dy.ndim == 3, r.masked))
        r.back(ds, t, dh)
