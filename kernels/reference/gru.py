"""GRU with the reset gate after the product, by definition."""

from __future__ import annotations

import numpy as np

from .recurrent import before, of_step, sigmoid, valid


def gru(a, u, b, *, lengths=None):
    return forward(a, u, b, lengths, _after)


def _after(a, h, r, u, b):
    m = h @ u.T + b
    return np.tanh(a + r * m), m


def forward(a, u, b, lengths, candidate):
    """candidate: (a_n, h, r, U_n, b_n) -> (n, m)"""
    width = u.shape[1]
    h, kept = np.empty((2, *a.shape[:2], width), a.dtype)
    gates = np.empty_like(a)
    rz = slice(2 * width)
    for t in range(a.shape[1]):
        here, old = valid(lengths, len(a), t), before(h, t)
        r, z = np.split(sigmoid(a[:, t, rz] + old @ u[rz].T + b[rz]), 2, axis=1)
        n, m = candidate(a[:, t, 2 * width :], old, r, u[2 * width :], b[2 * width :])
        h[:, t] = np.where(here, (1 - z) * n + z * old, old)
        gates[:, t] = np.where(here, np.concatenate([r, z, n], axis=1), 0)
        kept[:, t] = np.where(here, m, 0)
    return h, gates, kept


def gru_dx(dy, h, gates, m, u, *, lengths=None):
    da, ds = np.empty((2, *gates.shape), gates.dtype)
    dh = np.zeros_like(h[:, 0])
    for t in reversed(range(h.shape[1])):
        here = valid(lengths, len(h), t)
        r, z, n = np.split(gates[:, t], 3, axis=1)
        dh = dh + of_step(dy, t, h.shape[1])
        dz, dn = gate_gradients(dh, before(h, t), z, n)
        dr = dn * m[:, t] * r * (1 - r)
        da[:, t] = np.where(here, np.concatenate([dr, dz, dn], axis=1), 0)
        ds[:, t] = np.where(here, np.concatenate([dr, dz, r * dn], axis=1), 0)
        dh = np.where(here, dh * z + ds[:, t] @ u, dh)
    return da, ds


def gate_gradients(dh, old, z, n):
    return dh * (old - n) * z * (1 - z), dh * (1 - z) * (1 - n**2)
