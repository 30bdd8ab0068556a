"""GRU with the reset gate before the product."""

from __future__ import annotations

from typing import Any

from .recurrent import Recurrence


def gru_cho(a: Any, u: Any, b: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """h = z * h + (1 - z) * tanh( a_n + U_n (r * h) + b_n )"""
    h, gates, m = out
    r = Recurrence(a, u, lengths, pool)
    s, inner = r.state(3), r.state()
    for t in range(r.steps):
        if t:
            r.forward(h, t - 1, s)
        r.launch("gru_gates", a, s, b, r.lengths, h, gates, m, t=t, flags=(r.masked, False))
        if t:
            r.forward(m, t, inner, first=2 * r.width, rows=r.width)
        r.launch("gru_state", a, inner, b, r.lengths, h, gates, m, t=t, flags=(r.masked, False))


def gru_cho_dx(dy: Any, h: Any, gates: Any, u: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """Gradient by a, through all steps."""
    r = Recurrence(h, u, lengths, pool)
    dh, dm = r.state(), r.state()
    dh[...] = 0
    for t in reversed(range(r.steps)):
        r.launch("gru_cho_dx", dy, h, gates, r.lengths, dh, out, t=t, flags=(dy.ndim == 3, r.masked))
        r.back(out, t, dm, first=2 * r.width, rows=r.width, beta=0.0)
        r.launch("gru_cho_reset", dm, h, gates, r.lengths, dh, out, t=t, flags=(r.masked,))
        r.back(out, t, dh, rows=2 * r.width)
