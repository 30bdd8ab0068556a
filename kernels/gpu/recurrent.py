"""Recurrences over time: for each step a product with the state and one pass over its elements.

What the steps share is here: where a step of an (N, T, .) array is, and the products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .gemm import Operand, multiply
from .launch import Source, cover
from .memory import scratch

_kernels = Source("recurrent.cu")


class Recurrence:
    """Sizes of a recurrence with `gates` gates whose recurrent weights are u (G*H, H)."""

    def __init__(self, like: Any, u: Any, lengths: Any, pool: Any):
        self.n, self.steps = like.shape[:2]
        self.width, self.rows = u.shape[1], u.shape[0]
        self.u, self.pool, self.masked = u, pool, lengths is not None
        self.lengths = scratch(None, u, (0,), np.int64) if lengths is None else lengths

    def state(self, gates: int = 1) -> Any:
        """Scratch (N, gates*H)."""
        return scratch(self.pool, self.u, (self.n, gates * self.width), self.u.dtype)

    def launch(self, kernel: str, *arrays: Any, t: int, flags: tuple = ()) -> None:
        """Starts a kernel of step t; its last arguments are the sizes, t and the flags."""
        size = self.n * self.width
        _kernels.launch(kernel, *cover(size, 1), *arrays, size, self.steps, self.width, t, *flags)

    def forward(self, h: Any, t: int, s: Any, first: int = 0, rows: int | None = None) -> None:
        """s[n] = U[first : first + rows] h[n,t]"""
        rows = self.rows if rows is None else rows
        u = self.u.reshape(-1)[first * self.width :]
        where: dict[str, Any] = {"of_a": self.step(self.width), "of_b": Operand(self.width), "of_c": Operand(rows)}
        multiply(self.at(h, t), u, s, self.n, rows, self.width, trans_b=True, **where)

    def back(self, da: Any, t: int, dh: Any, first: int = 0, rows: int | None = None, beta: float = 1.0) -> None:
        """dh[n] (+)= U' da[n,t], over the rows [first, first + rows) of U."""
        rows = self.rows if rows is None else rows
        u = self.u.reshape(-1)[first * self.width :]
        where: dict[str, Any] = {"of_a": self.step(self.rows), "of_b": Operand(self.width), "of_c": Operand(self.width)}
        here = self.at(da, t)[first:]
        multiply(here, u, dh, self.n, self.width, rows, beta=beta, **where)

    def step(self, width: int) -> Operand:
        """Step after step of (N, T, width), seen as rows of samples."""
        return Operand(self.steps * width)

    def at(self, a: Any, t: int) -> Any:
        """a (N, T, .) from step t of its first sample on."""
        return a.reshape(-1)[t * a.shape[2] :]


def rnn(a: Any, u: Any, b: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """h[n,t] = tanh( a[n,t] + U h[n,t-1] + b )"""
    r = Recurrence(a, u, lengths, pool)
    s = r.state()
    for t in range(r.steps):
        if t:
            r.forward(out, t - 1, s)
        r.launch("rnn", a, s, b, r.lengths, out, t=t, flags=(r.masked,))


def rnn_dx(dy: Any, h: Any, u: Any, *, out: Any, pool: Any = None, lengths: Any = None) -> None:
    """da[n,t] = (1 - h[n,t]^2) * ( dy[n,t] + U' da[n,t+1] )"""
    r = Recurrence(h, u, lengths, pool)
    dh = r.state()
    dh[...] = 0
    for t in reversed(range(r.steps)):
        r.launch("rnn_dx", dy, h, r.lengths, dh, out, t=t, flags=(dy.ndim == 3, r.masked))
        r.back(out, t, dh)


def recurrent_dw(
    da: Any,
    h: Any,
    *,
    out: Any,
    pool: Any = None,
    shift: int = 1,
    start: int = 0,
    stop: int | None = None,
    accumulate: bool = False,
) -> None:
    """du[j,k] = sum_{n,t} da[n,t,start+j] * h[n,t-shift,k]: a product of each sample, added to the last one's result."""
    n, steps, rows = da.shape
    width, terms = h.shape[2], steps - shift
    if not accumulate:
        out[...] = 0
    for sample in range(n):
        left = da.reshape(-1)[(sample * steps + shift) * rows + start :]
        right = h.reshape(-1)[sample * steps * width :]
        where: dict[str, Any] = {"of_a": Operand(rows), "of_b": Operand(width)}
        multiply(left, right, out, len(out), width, terms, trans_a=True, beta=1.0, **where)
