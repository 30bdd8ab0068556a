"""The clipped rectifier: one pass over memory, cut into pieces as in activation.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .activation import PIECE
from .compile import kernel


def relu6(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _relu6(x.reshape(-1), out.reshape(-1), work=2 * x.nbytes)


def relu6_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _relu6_dx(dy.reshape(-1), y.reshape(-1), out.reshape(-1), work=3 * dy.nbytes)


@kernel
def _relu6(x, y):
    for piece in prange(-(-x.size // PIECE)):
        at = piece * PIECE
        _relu6_piece(x[at : at + PIECE], y[at : at + PIECE])


@njit
def _relu6_piece(x, y):
    zero, six = x.dtype.type(0), x.dtype.type(6)
    for i in range(x.size):
        low = zero if x[i] <= zero else x[i]
        y[i] = six if low >= six else low


@kernel
def _relu6_dx(dy, y, dx):
    for piece in prange(-(-dy.size // PIECE)):
        at = piece * PIECE
        _relu6_dx_piece(dy[at : at + PIECE], y[at : at + PIECE], dx[at : at + PIECE])


@njit
def _relu6_dx_piece(dy, y, dx):
    zero, six = dy.dtype.type(0), dy.dtype.type(6)
    for i in range(dy.size):
        inner = dy[i] if y[i] < six else zero
        dx[i] = inner if y[i] > zero else zero
