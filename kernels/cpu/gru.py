"""GRU: with the reset gate after the product a step is one product and one pass; before it, two of each.

The second product needs r * h of the whole batch, so the published form waits twice a step where the other waits once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import empty, multiply
from .compile import kernel
from .gemm import panels, plain
from .recurrent import Backward, Forward, by_step, carry, clear, ends, receive, sigmoid


def gru(a: np.ndarray, u: np.ndarray, b: np.ndarray, *, out: tuple, pool: Any, lengths: Any = None) -> None:
    h, gates, m = out
    n, steps, width = h.shape
    share, lengths, zero = Forward(h, u, pool), ends(lengths, n, steps), np.zeros(width, h.dtype)
    for t in range(steps):
        _gru_step(a, share.at(t), b, zero, lengths, t, h, gates, m, work=150 * n * width)


def gru_dx(
    dy: np.ndarray,
    h: np.ndarray,
    gates: np.ndarray,
    m: np.ndarray,
    u: np.ndarray,
    *,
    out: tuple,
    pool: Any,
    lengths: Any = None,
) -> None:
    da, ds = out
    n, steps, width = h.shape
    share, lengths, dy = Backward(ds, u, pool), ends(lengths, n, steps), by_step(dy)
    zero = np.zeros(width, h.dtype)
    for t in reversed(range(steps)):
        _gru_back(dy, h, gates, m, zero, lengths, t, share.dh, da, ds, work=40 * n * width)
        share.passes(t)


def gru_cho(a: np.ndarray, u: np.ndarray, b: np.ndarray, *, out: tuple, pool: Any, lengths: Any = None) -> None:
    h, gates, m = out
    n, steps, width = h.shape
    share, lengths, zero = Forward(h, u[: 2 * width], pool), ends(lengths, n, steps), np.zeros(width, h.dtype)
    u_n, s_n = panels(u[2 * width :], width, width, pool, transposed=True), empty(pool, (n, width), h.dtype)
    candidate = plain(h.dtype, n, width, width, a_row=steps * width)
    for t in range(steps):
        _cho_gates(a, share.at(t), b, zero, lengths, t, h, gates, m, work=100 * n * width)
        multiply(candidate, m.reshape(-1)[t * width :], u_n, s_n, pool)
        _cho_state(a, s_n, b, zero, lengths, t, h, gates, work=60 * n * width)


def gru_cho_dx(
    dy: np.ndarray, h: np.ndarray, gates: np.ndarray, u: np.ndarray, *, out: np.ndarray, pool: Any, lengths: Any = None
) -> None:
    n, steps, width = h.shape
    share, lengths, dy = Backward(out, u[: 2 * width], pool), ends(lengths, n, steps), by_step(dy)
    u_n, dm = panels(u[2 * width :], width, width, pool), empty(pool, (n, width), h.dtype)
    candidate = plain(h.dtype, n, width, width, a_row=steps * 3 * width)
    zero = np.zeros(width, h.dtype)
    for t in reversed(range(steps)):
        _cho_back_state(dy, h, gates, zero, lengths, t, share.dh, out, work=20 * n * width)
        multiply(candidate, out.reshape(-1)[(3 * t + 2) * width :], u_n, dm, pool)
        _cho_back_gates(h, gates, zero, dm, lengths, t, share.dh, out, work=20 * n * width)
        share.passes(t)


# ---------------------------------------------------------------------------------------------------- after the product


@kernel
def _gru_step(a, s, b, zero, lengths, t, h, gates, m):
    for index in prange(a.shape[0]):
        n = np.int64(index)
        old = h[n, t - 1] if t > 0 else zero
        if t < lengths[n]:
            _gru_row(a[n, t], s[n], b, old, h[n, t], gates[n, t], m[n, t])
        else:
            carry(old, h[n, t])
            clear(gates[n, t])
            clear(m[n, t])


@njit
def _gru_row(a, s, b, old, h, gates, m):
    width, one = h.size, h.dtype.type(1)
    for j in range(width):
        r, z, n = j, width + j, 2 * width + j
        gates[r] = sigmoid(a[r] + s[r] + b[r])
        gates[z] = sigmoid(a[z] + s[z] + b[z])
        m[j] = s[n] + b[n]
        gates[n] = np.tanh(a[n] + gates[r] * m[j])
        h[j] = (one - gates[z]) * gates[n] + gates[z] * old[j]


@kernel
def _gru_back(dy, h, gates, m, zero, lengths, t, dh, da, ds):
    for index in prange(h.shape[0]):
        n = np.int64(index)
        receive(dy, n, t, h.shape[1], dh[n])
        if t < lengths[n]:
            _back_state_row(h[n, t - 1] if t > 0 else zero, gates[n, t], dh[n], da[n, t])
            _back_reset_row(m[n, t], gates[n, t], da[n, t], ds[n, t])
        else:
            clear(da[n, t])
            clear(ds[n, t])


@njit
def _back_state_row(old, gates, dh, da):
    """da_z, da_n, and what of dh goes straight to the step before."""
    width, one = dh.size, dh.dtype.type(1)
    for j in range(width):
        z, n = gates[width + j], gates[2 * width + j]
        da[width + j] = dh[j] * (old[j] - n) * z * (one - z)
        da[2 * width + j] = dh[j] * (one - z) * (one - n * n)
        dh[j] *= z


@njit
def _back_reset_row(m, gates, da, ds):
    width, one = m.size, m.dtype.type(1)
    for j in range(width):
        r, dn = gates[j], da[2 * width + j]
        da[j] = dn * m[j] * r * (one - r)
        ds[j] = da[j]
        ds[width + j] = da[width + j]
        ds[2 * width + j] = r * dn


# ---------------------------------------------------------------------------------------------------- before the product


@kernel
def _cho_gates(a, s, b, zero, lengths, t, h, gates, m):
    for index in prange(a.shape[0]):
        n = np.int64(index)
        if t < lengths[n]:
            _cho_gates_row(a[n, t], s[n], b, h[n, t - 1] if t > 0 else zero, gates[n, t], m[n, t])
        else:
            clear(gates[n, t])
            clear(m[n, t])


@njit
def _cho_gates_row(a, s, b, old, gates, m):
    width = m.size
    for j in range(width):
        r, z = j, width + j
        gates[r] = sigmoid(a[r] + s[r] + b[r])
        gates[z] = sigmoid(a[z] + s[z] + b[z])
        m[j] = gates[r] * old[j]


@kernel
def _cho_state(a, s, b, zero, lengths, t, h, gates):
    for index in prange(a.shape[0]):
        n = np.int64(index)
        old = h[n, t - 1] if t > 0 else zero
        if t < lengths[n]:
            _cho_state_row(a[n, t], s[n], b, old, h[n, t], gates[n, t])
        else:
            carry(old, h[n, t])


@njit
def _cho_state_row(a, s, b, old, h, gates):
    width, one = h.size, h.dtype.type(1)
    for j in range(width):
        z, n = width + j, 2 * width + j
        gates[n] = np.tanh(a[n] + s[j] + b[n])
        h[j] = (one - gates[z]) * gates[n] + gates[z] * old[j]


@kernel
def _cho_back_state(dy, h, gates, zero, lengths, t, dh, da):
    for index in prange(h.shape[0]):
        n = np.int64(index)
        receive(dy, n, t, h.shape[1], dh[n])
        if t < lengths[n]:
            _back_state_row(h[n, t - 1] if t > 0 else zero, gates[n, t], dh[n], da[n, t])
        else:
            clear(da[n, t])


@kernel
def _cho_back_gates(h, gates, zero, dm, lengths, t, dh, da):
    for index in prange(h.shape[0]):
        n = np.int64(index)
        if t < lengths[n]:
            _cho_back_gates_row(h[n, t - 1] if t > 0 else zero, gates[n, t], dm[n], dh[n], da[n, t])


@njit
def _cho_back_gates_row(old, gates, dm, dh, da):
    one = dh.dtype.type(1)
    for j in range(dh.size):
        r = gates[j]
        da[j] = dm[j] * old[j] * r * (one - r)
        dh[j] += dm[j] * r
