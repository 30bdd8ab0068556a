"""GRU with the reset gate before the product: two products and two passes a step.

The second product needs r * h of the whole batch, so this form waits twice a step where the other waits once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import multiply
from .compile import kernel
from .gemm import on_panels, panels
from .gru import back_reset, back_state, mix, product_of
from .recurrent import Backward, Forward, by_step, carry, clear, ends, receive, to_sigmoid, to_tanh
from .scratch import empty


def gru_cho(a: np.ndarray, u: np.ndarray, b: np.ndarray, *, out: tuple, pool: Any, lengths: Any = None) -> None:
    h, gates, m = out
    n, steps, width = h.shape
    share, lengths, zero = Forward(h, u[: 2 * width], pool), ends(lengths, n, steps), np.zeros(width, h.dtype)
    u_n, s_n = panels(u[2 * width :], width, width, pool, transposed=True), empty(pool, (n, width), h.dtype)
    candidate = on_panels(h.dtype, n, width, width, steps * width)
    for t in range(steps):
        _cho_gates(a, share.at(t), b, zero, lengths, t, h, gates, m, work=100 * n * width)
        multiply(candidate, m.reshape(-1)[t * width :], u_n, s_n)
        _cho_state(a, s_n, b, zero, lengths, t, h, gates, work=60 * n * width)


def gru_cho_dx(
    dy: np.ndarray, h: np.ndarray, gates: np.ndarray, u: np.ndarray, *, out: np.ndarray, pool: Any, lengths: Any = None
) -> None:
    n, steps, width = h.shape
    share, lengths, dy = Backward(out, u[: 2 * width], pool), ends(lengths, n, steps), by_step(dy)
    u_n, dm = panels(u[2 * width :], width, width, pool), empty(pool, (n, width), h.dtype)
    candidate = on_panels(h.dtype, n, width, width, steps * 3 * width)
    zero = np.zeros(width, h.dtype)
    for t in reversed(range(steps)):
        _cho_back_state(dy, h, gates, zero, lengths, t, share.dh, out, work=20 * n * width)
        multiply(candidate, out.reshape(-1)[(3 * t + 2) * width :], u_n, dm)
        _cho_back_gates(h, gates, zero, dm, lengths, t, share.dh, out, work=20 * n * width)
        share.passes(t)


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
    product_of(gates[:w], old, m)


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
    mix(gates[w : 2 * w], gates[2 * w :], old, h)


@kernel
def _cho_back_state(dy, h, gates, zero, lengths, t, dh, da):
    for index in prange(h.shape[0]):
        n = np.int64(index)
        receive(dy, n, t, h.shape[1], dh[n])
        if t < lengths[n]:
            back_state(h[n, t - 1] if t > 0 else zero, gates[n, t], dh[n], da[n, t])
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
    back_reset(dm, old, r, da[: dh.size])
    for j in range(dh.size):
        dh[j] += dm[j] * r[j]
