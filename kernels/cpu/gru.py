"""GRU: with the reset gate after the product a step is one product and one pass; before it, two of each.

The second product needs r * h of the whole batch, so the published form waits twice a step where the other waits once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import empty, multiply
from .compile import kernel
from .exponential import tanh
from .gemm import panels, plain
from .recurrent import Backward, Forward, by_step, carry, clear, ends, receive, to_sigmoid, to_tanh


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
    w = h.size
    to_sigmoid(a[: 2 * w], s[: 2 * w], b[: 2 * w], gates[: 2 * w])
    _candidate(a[2 * w :], s[2 * w :], b[2 * w :], gates[:w], m, gates[2 * w :])
    _mix(gates[w : 2 * w], gates[2 * w :], old, h)


@njit
def _candidate(a, s, b, r, m, n):
    for j in range(m.size):
        m[j] = s[j] + b[j]
    for j in range(m.size):
        n[j] = tanh(a[j] + r[j] * m[j])


@njit
def _mix(z, n, old, h):
    one = h.dtype.type(1)
    for j in range(h.size):
        h[j] = (one - z[j]) * n[j] + z[j] * old[j]


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
    w = dh.size
    _back_mix(gates[w : 2 * w], gates[2 * w :], old, dh, da[w : 2 * w])
    _back_candidate(gates[w : 2 * w], gates[2 * w :], dh, da[2 * w :])


@njit
def _back_mix(z, n, old, dh, dz):
    one = dh.dtype.type(1)
    for j in range(dh.size):
        dz[j] = dh[j] * (old[j] - n[j]) * z[j] * (one - z[j])


@njit
def _back_candidate(z, n, dh, dn):
    one = dh.dtype.type(1)
    for j in range(dh.size):
        dn[j] = dh[j] * (one - z[j]) * (one - n[j] * n[j])
        dh[j] *= z[j]


@njit
def _back_reset_row(m, gates, da, ds):
    w = m.size
    _back_reset(da[2 * w :], m, gates[:w], da[:w])
    carry(da[: 2 * w], ds[: 2 * w])
    _product(gates[:w], da[2 * w :], ds[2 * w :])


@njit
def _back_reset(dn, m, r, dr):
    one = dr.dtype.type(1)
    for j in range(dr.size):
        dr[j] = dn[j] * m[j] * r[j] * (one - r[j])


@njit
def _product(x, y, xy):
    for j in range(xy.size):
        xy[j] = x[j] * y[j]


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
    w = m.size
    to_sigmoid(a[: 2 * w], s, b[: 2 * w], gates[: 2 * w])
    _product(gates[:w], old, m)


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
    w = h.size
    to_tanh(a[2 * w :], s, b[2 * w :], gates[2 * w :])
    _mix(gates[w : 2 * w], gates[2 * w :], old, h)


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
    r = gates[: dh.size]
    _back_reset(dm, old, r, da[: dh.size])
    for j in range(dh.size):
        dh[j] += dm[j] * r[j]
