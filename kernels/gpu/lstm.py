"""LSTM over all steps."""

from __future__ import annotations

from typing import Any

from .recurrent import Recurrence


def lstm(a: Any, u: Any, b: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """c = f * c + i * g,   h = o * tanh(c)"""
    h, c, gates = out
    r = Recurrence(a, u, lengths, pool)
    s = r.state(4)
    for t in range(r.steps):
        if t:
            r.forward(h, t - 1, s)
        r.launch("lstm", a, s, b, r.lengths, h, c, gates, t=t, flags=(r.masked,))


def lstm_dx(dy: Any, c: Any, gates: Any, u: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """Gradient by a, through all steps."""
    r = Recurrence(c, u, lengths, pool)
    dh, dc = r.state(), r.state()
    dh[...] = dc[...] = 0
    for t in reversed(range(r.steps)):
        r.launch("lstm_dx", dy, c, gates, r.lengths, dh, dc, out, t=t, flags=(dy.ndim == 3, r.masked))
        r.back(out, t, dh)
