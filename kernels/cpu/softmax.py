"""Softmax, a row after the other: maximum, exponentials and their sum are walks through the same few cache lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import Kernel, kernel, specialised
from .elementwise import FUNCTION
from .exponential import exp
from .rows import dot, highest, total

JOB = 1 << 14  # elements

row: Any  # what the loop below does with each row; each copy of it has its own


def _by_rows(a, y, step):
    for index in prange(-(-a.shape[0] // step)):
        first = np.int64(index) * step
        for m in range(first, min(first + step, a.shape[0])):
            row(a[m], y[m])  # noqa: F821


def by_rows(function: Any) -> Kernel:
    """The kernel function(a[m], y[m]) for each row m, whole rows a job."""
    compiled = njit(error_model="numpy")(function)
    return kernel(specialised(_by_rows, f"{function.__name__}_rows", row=compiled))


def _softmax(x, y):
    top = highest(x)
    for k in range(x.size):
        y[k] = exp(x[k] - top)
    scale = x.dtype.type(1.0 / total(y))
    for k in range(x.size):
        y[k] *= scale


def _log_softmax(x, y):
    top = highest(x)
    for k in range(x.size):
        y[k] = exp(x[k] - top)
    log = x.dtype.type(np.log(total(y)))
    for k in range(x.size):
        y[k] = x[k] - top - log


def _softmax_dx(y, dx):
    """dx holds dy."""
    share = y.dtype.type(dot(dx, y))
    for k in range(y.size):
        dx[k] = y[k] * (dx[k] - share)


def _log_softmax_dx(y, dx):
    """dx holds dy."""
    share = y.dtype.type(total(dx))
    for k in range(y.size):
        dx[k] -= exp(y[k]) * share


SOFTMAX, LOG_SOFTMAX, SOFTMAX_DX, LOG_SOFTMAX_DX = map(by_rows, (_softmax, _log_softmax, _softmax_dx, _log_softmax_dx))


def _run(kernel: Kernel, a: np.ndarray, out: np.ndarray) -> None:
    shape = (a.size // a.shape[-1], a.shape[-1])
    kernel(a.reshape(shape), out.reshape(shape), max(1, JOB // shape[1]), work=FUNCTION * a.size)


def softmax(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _run(SOFTMAX, x, out)


def log_softmax(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    _run(LOG_SOFTMAX, x, out)


def softmax_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    if out is not dy:
        out[...] = dy
    _run(SOFTMAX_DX, y, out)


def log_softmax_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    if out is not dy:
        out[...] = dy
    _run(LOG_SOFTMAX_DX, y, out)
