"""Recurrences by definition: one step after the other, forwards, and backwards through the same steps."""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))  # no exponential that could overflow


def valid(lengths, n, t):
    """(N, 1): which samples have a step t."""
    return np.full((n, 1), True) if lengths is None else (t < lengths)[:, None]


def before(h, t):
    """The state before step t, which is 0 before the first."""
    return h[:, t - 1] if t else np.zeros_like(h[:, 0])


def of_step(dy, t, steps):
    """The gradient that comes from outside at step t; a dy without steps comes at the last one."""
    if dy.ndim == 3:
        return dy[:, t]
    return dy if t == steps - 1 else np.zeros_like(dy)


def rnn(a, u, b, *, lengths=None):
    h = np.empty_like(a)
    for t in range(a.shape[1]):
        new = np.tanh(a[:, t] + before(h, t) @ u.T + b)
        h[:, t] = np.where(valid(lengths, len(a), t), new, before(h, t))
    return h


def rnn_dx(dy, h, u, *, lengths=None):
    da = np.empty_like(h)
    dh = np.zeros_like(h[:, 0])
    for t in reversed(range(h.shape[1])):
        here = valid(lengths, len(h), t)
        dh = dh + of_step(dy, t, h.shape[1])
        da[:, t] = np.where(here, dh * (1 - h[:, t] ** 2), 0)
        dh = np.where(here, da[:, t] @ u, dh)
    return da


def recurrent_dw(da, h, *, shift=1, start=0, stop=None, accumulate=False):
    """du[j,k] = sum_{n,t} da[n,t,start+j] h[n,t-shift,k]"""
    return np.einsum("ntj,ntk->jk", da[:, shift:, start:stop], h[:, : h.shape[1] - shift])
