"""LSTM: the four gates, the cell and the state of a row in one pass; backward keeps what flows between steps in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import empty
from .compile import kernel
from .recurrent import Backward, Forward, by_step, carry, clear, ends, receive, sigmoid


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
    width = h.size
    for j in range(width):
        i, f, g, o = j, width + j, 2 * width + j, 3 * width + j
        gates[i] = sigmoid(a[i] + s[i] + b[i])
        gates[f] = sigmoid(a[f] + s[f] + b[f])
        gates[g] = np.tanh(a[g] + s[g] + b[g])
        gates[o] = sigmoid(a[o] + s[o] + b[o])
        c[j] = gates[f] * old[j] + gates[i] * gates[g]
        h[j] = gates[o] * np.tanh(c[j])


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
    width, one = c.size, c.dtype.type(1)
    for j in range(width):
        i, f, g, o = gates[j], gates[width + j], gates[2 * width + j], gates[3 * width + j]
        s = np.tanh(c[j])
        d = dc[j] + dh[j] * o * (one - s * s)
        da[j] = d * g * i * (one - i)
        da[width + j] = d * old[j] * f * (one - f)
        da[2 * width + j] = d * i * (one - g * g)
        da[3 * width + j] = dh[j] * s * o * (one - o)
        dh[j] = 0
        dc[j] = d * f
