"""GRU with the reset gate before the product, by definition."""

from __future__ import annotations

import numpy as np

from .gru import forward, gate_gradients
from .recurrent import before, of_step, valid


def gru_cho(a, u, b, *, lengths=None):
    return forward(a, u, b, lengths, _before)


def _before(a, h, r, u, b):
    return np.tanh(a + (r * h) @ u.T + b), r * h


def gru_cho_dx(dy, h, gates, u, *, lengths=None):
    width = u.shape[1]
    da = np.empty_like(gates)
    dh = np.zeros_like(h[:, 0])
    for t in reversed(range(h.shape[1])):
        here, old = valid(lengths, len(h), t), before(h, t)
        r, z, n = np.split(gates[:, t], 3, axis=1)
        dh = dh + of_step(dy, t, h.shape[1])
        dz, dn = gate_gradients(dh, old, z, n)
        dm = dn @ u[2 * width :]
        dr = dm * old * r * (1 - r)
        da[:, t] = np.where(here, np.concatenate([dr, dz, dn], axis=1), 0)
        dh = np.where(here, dh * z + dm * r + np.concatenate([dr, dz], axis=1) @ u[: 2 * width], dh)
    return da
