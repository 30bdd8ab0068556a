"""Recurrences: a product of the whole batch with U, then one fused pass over the gates of the step.

The tile takes rows at any distance, so a step's states are read where they lie in (N, T, H) and nothing is transposed;
U is packed once for all steps. A row's arithmetic never meets another row's: a masked run has the bits of single runs.
Loops over a row take few arrays each: the compiler must ask of every pair whether it overlaps before it makes vectors, and
gives up where the questions are many.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import multiply
from .compile import kernel
from .exponential import sigmoid, tanh
from .gemm import on_panels, panels
from .product import Part, Product, product
from .scratch import empty
from .simd import lanes


def rnn(a: np.ndarray, u: np.ndarray, b: np.ndarray, *, out: np.ndarray, pool: Any, lengths: Any = None) -> None:
    n, steps, width = a.shape
    share, lengths, zero = Forward(out, u, pool), ends(lengths, n, steps), np.zeros(width, a.dtype)
    for t in range(steps):
        _rnn_step(a, share.at(t), b, zero, lengths, t, out, work=60 * n * width)


def rnn_dx(dy: np.ndarray, h: np.ndarray, u: np.ndarray, *, out: np.ndarray, pool: Any, lengths: Any = None) -> None:
    n, steps, width = h.shape
    share, lengths, dy = Backward(out, u, pool), ends(lengths, n, steps), by_step(dy)
    for t in reversed(range(steps)):
        _rnn_back(dy, h, lengths, t, share.dh, out, work=10 * n * width)
        share.passes(t)


def recurrent_dw(
    da: np.ndarray,
    h: np.ndarray,
    *,
    out: np.ndarray,
    pool: Any,
    shift: int = 1,
    start: int = 0,
    stop: int | None = None,
    accumulate: bool = False,
) -> None:
    n, steps, gates = da.shape
    m, width = out.shape
    multiply(_over_steps(h.dtype, n, steps, gates, m, width, shift, start), da, h, out, accumulate=accumulate)


@lru_cache(maxsize=64)
def _over_steps(dtype: Any, n: int, steps: int, gates: int, m: int, width: int, shift: int, start: int) -> Product:
    """dU[i,j] = sum_{n,t} da[n, t + shift, start + i] * h[n,t,j]: a run of steps for every sample."""
    taps = [(i * steps * gates, i * steps * width, steps - shift) for i in range(n)]
    part = Part(
        rows=m,
        columns=width,
        first=0,
        last=n,
        a_step=gates,
        b_step=width,
        b_panel=lanes(dtype),
        a=shift * gates + start,
        a2=1,
        n2=m,
        c2=width,
        copies_a=True,
        copies_b=True,
    )
    return product(dtype, [part], taps)


# ---------------------------------------------------------------------------------------------------- what steps share


class Forward:
    """The recurrent share of the gates in U, step by step: s[n] = U h[n,t-1], 0 at the first step."""

    def __init__(self, h: np.ndarray, u: np.ndarray, pool: Any):
        n, steps, self.width = h.shape
        self.h, self.pool, self.s = h.reshape(-1), pool, empty(pool, (n, len(u)), h.dtype)
        self.product = on_panels(h.dtype, n, len(u), self.width, steps * self.width)
        self.u = panels(u, len(u), self.width, pool, transposed=True)

    def at(self, t: int) -> np.ndarray:
        if t == 0:
            self.s.fill(0)
        else:
            multiply(self.product, self.h[(t - 1) * self.width :], self.u, self.s)
        return self.s


class Backward:
    """The gradient by the state, dh: (N, H), on its way from step to step: dh[n] += U' ds[n,t], over the gates in U."""

    def __init__(self, ds: np.ndarray, u: np.ndarray, pool: Any):
        (n, steps, gates), (terms, width) = ds.shape, u.shape
        self.ds, self.gates, self.pool = ds.reshape(-1), gates, pool
        self.product = on_panels(ds.dtype, n, width, terms, steps * gates)
        self.u, self.dh = panels(u, width, terms, pool), empty(pool, (n, width), ds.dtype)
        self.dh.fill(0)

    def passes(self, t: int) -> None:
        if t > 0:
            multiply(self.product, self.ds[t * self.gates :], self.u, self.dh, accumulate=True)


def ends(lengths: Any, n: int, steps: int) -> np.ndarray:
    return np.full(n, steps, np.int64) if lengths is None else lengths


def by_step(dy: np.ndarray) -> np.ndarray:
    """(N, T, H); (N, 1, H) where dy belongs to the last step alone."""
    return dy if dy.ndim == 3 else dy[:, None]


@njit
def to_sigmoid(a, s, b, y):
    for j in range(y.size):
        y[j] = sigmoid(a[j] + s[j] + b[j])


@njit
def to_tanh(a, s, b, y):
    for j in range(y.size):
        y[j] = tanh(a[j] + s[j] + b[j])


@njit
def carry(old, new):
    """The state of a step that does not exist."""
    for j in range(new.size):
        new[j] = old[j]


@njit
def clear(x):
    for j in range(x.size):
        x[j] = 0


@njit
def receive(dy, n, t, steps, dh):
    """Adds what comes from outside at step t to a row of dh; a dy of one step belongs to the last."""
    if dy.shape[1] == steps:
        _add(dy[n, t], dh)
    elif t == steps - 1:
        _add(dy[n, 0], dh)


@njit
def _add(x, y):
    for j in range(y.size):
        y[j] += x[j]


# ---------------------------------------------------------------------------------------------------- the plain one


@kernel
def _rnn_step(a, s, b, zero, lengths, t, h):
    for index in prange(a.shape[0]):
        n = np.int64(index)
        if t < lengths[n]:
            to_tanh(a[n, t], s[n], b, h[n, t])
        else:
            carry(h[n, t - 1] if t > 0 else zero, h[n, t])


@kernel
def _rnn_back(dy, h, lengths, t, dh, da):
    for index in prange(h.shape[0]):
        n = np.int64(index)
        receive(dy, n, t, h.shape[1], dh[n])
        if t < lengths[n]:
            _rnn_back_row(h[n, t], dh[n], da[n, t])
        else:
            clear(da[n, t])


@njit
def _rnn_back_row(h, dh, da):
    one = h.dtype.type(1)
    for j in range(h.size):
        da[j] = dh[j] * (one - h[j] * h[j])
        dh[j] = 0
