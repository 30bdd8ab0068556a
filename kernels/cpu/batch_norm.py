"""Batch norm in as few passes over memory as there are sums to wait for: two forward, two backward.

Count, sum and sum of squares are the sums that the backward pass needs too, of x with itself around zero; one loop
serves both. Which factors belong to a channel is worked out once per call, not once per element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .columns import column_products, job, repeated
from .compile import kernel
from .pooling import choose


def column_moments(x: np.ndarray, *, out: np.ndarray, pool: Any) -> None:
    out[0] = x.size // x.shape[-1]
    out[1:] = column_products(x, x, np.zeros(x.shape[-1]), pool)


def batch_norm_sums(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, *, out: np.ndarray, pool: Any
) -> None:
    out[...] = column_products(dy, x, mean, pool)
    out[1] *= inverse


def batch_norm(
    x: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    out: np.ndarray,
    pool: Any,
    activation: str | None = None,
) -> None:
    lines = repeated([mean, inverse * weight, bias], x.dtype, pool)
    step = job(lines.shape[1])
    _batch_norm(x.reshape(-1), lines, activation == "relu", step, out.reshape(-1), work=2 * x.nbytes)


@kernel
def _batch_norm(x, lines, relu, step, y):
    for index in prange(-(-x.size // step)):
        start, width = np.int64(index) * step, lines.shape[1]
        for at in range(start, min(start + step, x.size), width):
            _batch_norm_line(x[at : at + width], lines[0], lines[1], lines[2], relu, y[at : at + width])


@njit
def _batch_norm_line(x, mean, scale, bias, relu, y):
    zero = x.dtype.type(0)
    for j in range(x.size):
        value = (x[j] - mean[j]) * scale[j] + bias[j]
        y[j] = choose(relu & (value <= zero), zero, value)  # a NaN is not <= 0 and stays


def batch_norm_dx(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    weight: np.ndarray,
    mean_dy: np.ndarray,
    mean_product: np.ndarray,
    *,
    out: np.ndarray,
    pool: Any,
) -> None:
    lines = repeated([mean, inverse * weight, mean_dy, inverse * mean_product], x.dtype, pool)
    step = job(lines.shape[1])
    _batch_norm_dx(dy.reshape(-1), x.reshape(-1), lines, step, out.reshape(-1), work=3 * x.nbytes)


@kernel
def _batch_norm_dx(dy, x, lines, step, dx):
    for index in prange(-(-x.size // step)):
        start, width = np.int64(index) * step, lines.shape[1]
        for at in range(start, min(start + step, x.size), width):
            _batch_norm_dx_line(dy[at : at + width], x[at : at + width], lines, dx[at : at + width])


@njit
def _batch_norm_dx_line(dy, x, lines, dx):
    mean, scale, mean_dy, slope = lines[0], lines[1], lines[2], lines[3]
    for j in range(x.size):
        dx[j] = scale[j] * (dy[j] - mean_dy[j] - (x[j] - mean[j]) * slope[j])
