"""Group norm, some whole samples a job: a sample's mean, its deviation and its result are three walks through the cache.

Sums are made column by column, which is a loop of vectors, and then over the columns of a group. Columns are the channels;
but if there is one group, which numbers share a column does not matter, and a few columns are added up faster than many.
The deviation is summed around the mean, so it does not suffer where the mean is large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .columns import add_products, add_squares
from .compile import kernel
from .rows import total
from .scratch import empty

JOB = 1 << 14  # elements
COLUMNS = 64  # for a single group


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, groups: int, eps: float, out: Any, pool: Any
) -> None:
    y, mean, inverse = out
    if x.size == 0:
        mean.fill(0)
        inverse.fill(1 / np.sqrt(eps))
        return
    shape, step, sums, rows = _cut(x, 2, pool)
    arrays = x.reshape(shape), weight, bias, eps, step, sums, rows, y.reshape(shape), mean, inverse
    _group_norm(*arrays, work=12 * x.size)


def _cut(x: np.ndarray, facts: int, pool: Any) -> tuple[tuple[int, int, int], int, np.ndarray, np.ndarray]:
    """(N, S, C); the samples of a job; for each job rows of C for sums and centres, and for `facts` on each channel."""
    n, channels = x.shape[0], x.shape[-1]
    step = max(1, JOB // (x.size // n))
    jobs = -(-n // step)
    sums, rows = empty(pool, (jobs, 3, channels), np.float64), empty(pool, (jobs, facts, channels), x.dtype)
    return (n, x.size // (n * channels), channels), step, sums, rows


@kernel
def _group_norm(x, weight, bias, eps, step, sums, rows, y, mean, inverse):
    for index in prange(rows.shape[0]):
        job = np.int64(index)
        for n in range(job * step, min((job + 1) * step, x.shape[0])):
            _statistics(x[n], eps, sums[job], mean[n], inverse[n])
            _spread(mean[n], rows[job, 0])
            _spread(inverse[n], rows[job, 1])
            for s in range(x.shape[1]):
                _normalise(x[n, s], rows[job, 0], rows[job, 1], weight, bias, y[n, s])


@njit
def _statistics(x, eps, sums, mean, inverse):
    """x: (S, C), one sample   ->   mean, inverse: (G,)"""
    groups, flat = mean.size, x.reshape(-1)
    terms = x.size // groups
    first, second, centre = _columns(sums, groups)
    _fill(centre, 0.0)
    add_products(flat, flat, centre, first, second)
    for g in range(groups):
        _fill(_group(centre, g, groups), total(_group(first, g, groups)) / terms)
    add_squares(flat, flat, centre, first, second)
    for g in range(groups):
        middle = _group(centre, g, groups)[0]
        around = total(_group(first, g, groups))  # 0 but for rounding
        variance = (total(_group(second, g, groups)) - around * around / terms) / terms
        mean[g], inverse[g] = middle, 1.0 / np.sqrt(variance + eps)


@njit
def _columns(sums, groups):
    """The three rows of sums, as long as there are columns."""
    width = min(COLUMNS, sums.shape[1]) if groups == 1 else sums.shape[1]
    return sums[0][:width], sums[1][:width], sums[2][:width]


@njit
def _group(row, g, groups):
    width = row.size // groups
    return row[g * width : (g + 1) * width]


@njit
def _fill(row, value):
    for c in range(row.size):
        row[c] = value


@njit
def _spread(of_group, of_channel):
    """Repeats what is known of a group for each of its channels."""
    for g in range(of_group.size):
        _fill(_group(of_channel, g, of_group.size), of_group[g])


@njit
def _normalise(x, mean, inverse, weight, bias, y):
    for c in range(x.size):
        y[c] = (x[c] - mean[c]) * inverse[c] * weight[c] + bias[c]


def group_norm_dx(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, weight: np.ndarray, *, out: Any, pool: Any
) -> None:
    if x.size:
        shape, step, sums, rows = _cut(x, 4, pool)
        arrays = dy.reshape(shape), x.reshape(shape), mean, inverse, weight, step, sums, rows, out.reshape(shape)
        _group_norm_dx(*arrays, work=12 * x.size)


@kernel
def _group_norm_dx(dy, x, mean, inverse, weight, step, sums, rows, dx):
    for index in prange(rows.shape[0]):
        job = np.int64(index)
        for n in range(job * step, min((job + 1) * step, x.shape[0])):
            for s in range(x.shape[1]):
                _weigh(dy[n, s], weight, dx[n, s])
            _shares(dx[n], x[n], mean[n], inverse[n], sums[job], rows[job])
            for s in range(x.shape[1]):
                _row_dx(x[n, s], rows[job, 0], rows[job, 1], rows[job, 2], rows[job, 3], dx[n, s])


@njit
def _weigh(dy, weight, e):
    for c in range(dy.size):
        e[c] = dy[c] * weight[c]


@njit
def _shares(e, x, mean, inverse, sums, rows):
    """rows: (4, C), what _row_dx reads: mean, inverse, the mean of e, and the mean of e * xn times inverse."""
    groups = mean.size
    terms = x.size // groups
    first, second, centre = _columns(sums, groups)
    _spread(mean, centre)
    add_products(e.reshape(-1), x.reshape(-1), centre, first, second)
    _spread(mean, rows[0])
    _spread(inverse, rows[1])
    for g in range(groups):
        scale = np.float64(inverse[g])
        _fill(_group(rows[2], g, groups), total(_group(first, g, groups)) / terms)
        _fill(_group(rows[3], g, groups), scale * scale * total(_group(second, g, groups)) / terms)


@njit
def _row_dx(x, mean, inverse, share, slope, dx):
    """dx holds e and becomes the gradient."""
    for c in range(x.size):
        dx[c] = inverse[c] * (dx[c] - share[c] - (x[c] - mean[c]) * slope[c])


def group_norm_dw(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    *,
    out: Any,
    pool: Any,
    accumulate: bool = False,
) -> None:
    gradients = np.zeros((2, x.shape[-1]))
    if x.size:
        shape, step, sums, rows = _cut(x, 2, pool)
        _group_norm_dw(dy.reshape(shape), x.reshape(shape), mean, inverse, step, sums, rows, work=2 * x.nbytes)
        gradients = sums[:, :2].sum(axis=0)
    for target, gradient in zip(out, gradients, strict=True):
        target[...] = target + gradient if accumulate else gradient


@kernel
def _group_norm_dw(dy, x, mean, inverse, step, sums, rows):
    for index in prange(rows.shape[0]):
        job = np.int64(index)
        _fill(sums[job, 0], 0.0)
        _fill(sums[job, 1], 0.0)
        for n in range(job * step, min((job + 1) * step, x.shape[0])):
            _spread(mean[n], rows[job, 0])
            _spread(inverse[n], rows[job, 1])
            for s in range(x.shape[1]):
                _add_row(dy[n, s], x[n, s], rows[job, 0], rows[job, 1], sums[job, 0], sums[job, 1])


@njit
def _add_row(dy, x, mean, inverse, dw, db):
    for c in range(x.size):
        db[c] += dy[c]
        dw[c] += dy[c] * ((x[c] - mean[c]) * inverse[c])
