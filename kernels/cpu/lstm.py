"""LSTM: the four gates, the cell and the state of a row in one pass; backward keeps what flows between steps in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel
from .exponential import tanh
from .recurrent import Backward, Forward, by_step, carry, clear, ends, receive, to_sigmoid, to_tanh
from .scratch import empty


def lstm(a: np.ndarray, u: np.ndarray, b: np.ndarray, *, out: tuple, pool: Any, lengths: Any = None) -> None:
    h, c, gates = out
    n, steps, width = h.shape
    share, lengths, zero = Forward(h, u, pool), ends(lengths, n, steps), np.zeros(width, h.dtype)
    for t in range(steps):
        _lstm_step(a, share.at(t), b, zero, lengths, t, h, c, gates, work=200 * n * width)


def lstm_dx(
    dy: np.ndarray, c: np.ndarray, gates: np.ndarray, u: np.ndarray, *, out: np.ndarray, pool: Any, lengths: Any = None
) -> None:
    n, steps, width = c.shape
    share, lengths, dy = Backward(out, u, pool), ends(lengths, n, steps), by_step(dy)
    dc, zero = empty(pool, (n, width), c.dtype), np.zeros(width, c.dtype)
    dc.fill(0)
    for t in reversed(range(steps)):
        _lstm_back(dy, c, gates, zero, lengths, t, share.dh, dc, out, work=100 * n * width)
        share.passes(t)


@kernel
def _lstm_step(a, s, b, zero, lengths, t, h, c, gates):
    for index in prange(a.shape[0]):
        n = np.int64(index)
        old = c[n, t - 1] if t > 0 else zero
        if t < lengths[n]:
            _lstm_row(a[n, t], s[n], b, old, h[n, t], c[n, t], gates[n, t])
        else:
            carry(h[n, t - 1] if t > 0 else zero, h[n, t])
            carry(old, c[n, t])
            clear(gates[n, t])


@njit
def _lstm_row(a, s, b, old, h, c, gates):
    w = h.size
    to_sigmoid(a[: 2 * w], s[: 2 * w], b[: 2 * w], gates[: 2 * w])
    to_tanh(a[2 * w : 3 * w], s[2 * w : 3 * w], b[2 * w : 3 * w], gates[2 * w : 3 * w])
    to_sigmoid(a[3 * w :], s[3 * w :], b[3 * w :], gates[3 * w :])
    _cell(gates[:w], gates[w : 2 * w], gates[2 * w : 3 * w], old, c)
    _state(gates[3 * w :], c, h)


@njit
def _cell(i, f, g, old, c):
    for j in range(c.size):
        c[j] = f[j] * old[j] + i[j] * g[j]


@njit
def _state(o, c, h):
    for j in range(h.size):
        h[j] = o[j] * tanh(c[j])


@kernel
def _lstm_back(dy, c, gates, zero, lengths, t, dh, dc, da):
    for index in prange(c.shape[0]):
        n = np.int64(index)
        receive(dy, n, t, c.shape[1], dh[n])
        if t < lengths[n]:
            _lstm_back_row(c[n, t], c[n, t - 1] if t > 0 else zero, gates[n, t], dh[n], dc[n], da[n, t])
        else:
            clear(da[n, t])


@njit
def _lstm_back_row(c, old, gates, dh, dc, da):
    w = c.size
    i, f, g, o = gates[:w], gates[w : 2 * w], gates[2 * w : 3 * w], gates[3 * w :]
    _state_gradient(o, c, dh, dc, da[3 * w :])
    _input_gradient(dc, i, g, da[:w], da[2 * w : 3 * w])
    _forget_gradient(old, f, dc, da[w : 2 * w])
    clear(dh)


@njit
def _state_gradient(o, c, dh, dc, da):
    one = dh.dtype.type(1)
    for j in range(dh.size):
        s = tanh(c[j])
        da[j] = dh[j] * s * o[j] * (one - o[j])
        dc[j] += dh[j] * o[j] * (one - s * s)


@njit
def _input_gradient(dc, i, g, di, dg):
    one = dc.dtype.type(1)
    for j in range(dc.size):
        di[j] = dc[j] * g[j] * i[j] * (one - i[j])
        dg[j] = dc[j] * i[j] * (one - g[j] * g[j])


@njit
def _forget_gradient(old, f, dc, df):
    one = dc.dtype.type(1)
    for j in range(dc.size):
        df[j] = dc[j] * old[j] * f[j] * (one - f[j])
        dc[j] *= f[j]
