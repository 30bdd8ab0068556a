"""LSTM by definition."""

from __future__ import annotations

import numpy as np

from .recurrent import before, of_step, sigmoid, valid


def lstm(a, u, b, *, lengths=None):
    h, c = np.empty((2, *a.shape[:2], u.shape[1]), a.dtype)
    gates = np.empty_like(a)
    for t in range(a.shape[1]):
        here = valid(lengths, len(a), t)
        si, sf, sg, so = np.split(a[:, t] + before(h, t) @ u.T + b, 4, axis=1)
        i, f, g, o = sigmoid(si), sigmoid(sf), np.tanh(sg), sigmoid(so)
        c[:, t] = np.where(here, f * before(c, t) + i * g, before(c, t))
        h[:, t] = np.where(here, o * np.tanh(c[:, t]), before(h, t))
        gates[:, t] = np.where(here, np.concatenate([i, f, g, o], axis=1), 0)
    return h, c, gates


def lstm_dx(dy, c, gates, u, *, lengths=None):
    da = np.empty_like(gates)
    dh, dc = np.zeros_like(c[:, 0]), np.zeros_like(c[:, 0])
    for t in reversed(range(c.shape[1])):
        here = valid(lengths, len(c), t)
        i, f, g, o = np.split(gates[:, t], 4, axis=1)
        dh = dh + of_step(dy, t, c.shape[1])
        s = np.tanh(c[:, t])
        dct = dc + dh * o * (1 - s**2)
        parts = dct * g * i * (1 - i), dct * before(c, t) * f * (1 - f), dct * i * (1 - g**2), dh * s * o * (1 - o)
        da[:, t] = np.where(here, np.concatenate(parts, axis=1), 0)
        dh, dc = np.where(here, da[:, t] @ u, dh), np.where(here, dct * f, dc)
    return da
