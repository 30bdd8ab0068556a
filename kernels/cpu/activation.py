"""Activations: one pass over memory, cut into fixed pieces.

A piece is a slice, so its loop index is known to start at 0 and the compiler turns comparison and choice into vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel

PIECE = 1 << 14  # elements


def relu(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _relu(x.reshape(-1), out.reshape(-1), work=2 * x.nbytes)


def relu_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _relu_dx(dy.reshape(-1), y.reshape(-1), out.reshape(-1), work=3 * dy.nbytes)


@kernel
def _relu(x, y):
    for piece in prange(-(-x.size // PIECE)):
        at = piece * PIECE
        _relu_piece(x[at : at + PIECE], y[at : at + PIECE])


@njit
def _relu_piece(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # a NaN is not <= 0 and stays


@kernel
def _relu_dx(dy, y, dx):
    for piece in prange(-(-dy.size // PIECE)):
        at = piece * PIECE
        _relu_dx_piece(dy[at : at + PIECE], y[at : at + PIECE], dx[at : at + PIECE])


@njit
def _relu_dx_piece(dy, y, dx):
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > zero else zero
