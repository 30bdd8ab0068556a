"""Loops over channels, whatever their number: a line is the channels of a few positions.

Channels lie last, so a loop over them is a loop over vectors; but three channels, or sixteen, are over before a vector
loop has begun. So memory is cut into lines, the least multiple of C elements that is long enough, and what is known of a
channel is repeated along a line. The last line may be shorter. Jobs are whole lines and as long as the shape says, so
that sums have one order whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .brgemm import empty
from .compile import kernel

LINE = 1024  # elements: four lines are read at once, and shorter ones are over before the memory's prefetcher has seen them
JOB = 1 << 15  # elements


def line(channels: int) -> int:
    """Elements of a line: the least multiple of `channels` that is LINE or more."""
    return channels * -(-LINE // channels)


def job(width: int) -> int:
    """Elements of a job: whole groups of four lines."""
    return max(1, JOB // (4 * width)) * 4 * width


def repeated(values: list[np.ndarray], dtype: Any, pool: Any) -> np.ndarray:
    """Each of the (C,) vectors along a line: (len(values), line(C))."""
    channels = values[0].size
    lines = empty(pool, (len(values), line(channels)), dtype)
    for row, value in zip(lines, values, strict=True):
        row.reshape(-1, channels)[...] = value
    return lines


def column_products(a: np.ndarray, b: np.ndarray, mean: np.ndarray, pool: Any) -> np.ndarray:
    """(2, C) in float64: the sums of a and of a * (b - mean) over all axes but the last."""
    lines = repeated([mean], np.float64, pool)
    width = lines.shape[1]
    partial = empty(pool, (-(-a.size // job(width)), 2, width), np.float64)
    _products(a.reshape(-1), b.reshape(-1), lines[0], job(width), partial, work=2 * a.nbytes)
    return partial.sum(axis=0).reshape(2, -1, mean.size).sum(axis=1)


@kernel
def _products(a, b, mean, step, partial):
    for index in prange(partial.shape[0]):
        at = np.int64(index) * step
        _add_products(a[at : at + step], b[at : at + step], mean, partial[index, 0], partial[index, 1])


@njit
def _add_products(a, b, mean, sums, products):
    width = mean.size
    for j in range(width):
        sums[j] = 0
        products[j] = 0
    fours = a.size // (4 * width) * (4 * width)
    for at in range(0, fours, 4 * width):
        four = a[at : at + 4 * width].reshape(4, width), b[at : at + 4 * width].reshape(4, width)
        _add_four(four[0], four[1], mean, sums, products)
    for at in range(fours, a.size, width):
        _add_line(a[at : at + width], b[at : at + width], mean, sums, products)


@njit
def _add_four(a, b, mean, sums, products):
    """Four lines are added to each other first: the sums then travel to memory and back once for all of them."""
    for j in range(mean.size):
        a0, a1, a2, a3 = np.float64(a[0, j]), np.float64(a[1, j]), np.float64(a[2, j]), np.float64(a[3, j])
        sums[j] += (a0 + a1) + (a2 + a3)
        first = a0 * (b[0, j] - mean[j]) + a1 * (b[1, j] - mean[j])
        products[j] += first + (a2 * (b[2, j] - mean[j]) + a3 * (b[3, j] - mean[j]))


@njit
def _add_line(a, b, mean, sums, products):
    for j in range(a.size):
        sums[j] += a[j]
        products[j] += np.float64(a[j]) * (b[j] - mean[j])
