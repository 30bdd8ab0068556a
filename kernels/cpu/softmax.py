"""Softmax, a row after the other: maximum, exponentials and their sum are walks through the same few cache lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import FUNCTION
from .exponential import exp
from .rows import by_rows, dot, highest, run_rows, total


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


def softmax(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    run_rows(SOFTMAX, x, out, FUNCTION)


def log_softmax(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    run_rows(LOG_SOFTMAX, x, out, FUNCTION)


def softmax_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    if out is not dy:
        out[...] = dy
    run_rows(SOFTMAX_DX, y, out, FUNCTION)


def log_softmax_dx(dy: np.ndarray, y: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    if out is not dy:
        out[...] = dy
    run_rows(LOG_SOFTMAX_DX, y, out, FUNCTION)
