"""Element by element: one loop for every function of at most two arrays and a number, cut into fixed pieces.

A piece is a slice, so its loop index is known to start at 0 and the compiler turns arithmetic and choices into vectors. A
function of one array is one of two that does not look at the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .columns import job, repeated
from .compile import Kernel, kernel, specialised

PIECE = 1 << 14  # elements
FUNCTION = 32  # operations that an exponential and what is made of it count for

element: Any  # what the two loops below call; each copy of them has its own
run: Any


def elementwise(element: Any) -> Kernel:
    """The kernel y[i] = element(a[i], b[i], s), from a compiled function of three numbers."""
    name = element.__name__
    run = njit(error_model="numpy")(specialised(_run, f"{name}_run", element=element))
    return kernel(specialised(_pieces, f"{name}_pieces", run=run))


def _run(a, b, s, y):
    for i in range(y.size):
        y[i] = element(a[i], b[i], s)  # noqa: F821


def _pieces(a, b, s, y):
    for piece in prange(-(-y.size // PIECE)):
        at = np.int64(piece) * PIECE
        run(a[at : at + PIECE], b[at : at + PIECE], s, y[at : at + PIECE])  # noqa: F821


def apply(kernel: Kernel, a: np.ndarray, b: np.ndarray, out: np.ndarray, s: float = 0.0, cost: int = 4) -> None:
    """Runs it over all elements; cost: bytes or operations of an element, whichever is more."""
    kernel(a.reshape(-1), b.reshape(-1), a.dtype.type(s), out.reshape(-1), work=cost * out.size)


@njit
def _add(a, b, s):
    return a + b


@njit
def _multiply(a, b, s):
    return a * b


@njit
def _scaled(a, b, s):
    return s * a


ADD, MULTIPLY, SCALED = elementwise(_add), elementwise(_multiply), elementwise(_scaled)


def add(a: np.ndarray, b: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    apply(ADD, a, b, out, cost=3 * a.itemsize)


def multiply(a: np.ndarray, b: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    apply(MULTIPLY, a, b, out, cost=3 * a.itemsize)


def scaled(x: np.ndarray, *, s: float, out: np.ndarray, pool: Any) -> None:
    apply(SCALED, x, x, out, s, cost=2 * x.itemsize)


def add_bias(x: np.ndarray, bias: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    if x.size:
        lines = repeated([bias.reshape(-1)], x.dtype, pool)
        _add_bias(x.reshape(-1), lines[0], job(lines.shape[1]), out.reshape(-1), work=2 * x.nbytes)


@kernel
def _add_bias(x, bias, step, y):
    for index in prange(-(-x.size // step)):
        start = np.int64(index) * step
        for at in range(start, min(start + step, x.size), bias.size):
            _add_line(x[at : at + bias.size], bias, y[at : at + bias.size])


@njit
def _add_line(x, bias, y):
    for j in range(x.size):
        y[j] = x[j] + bias[j]
