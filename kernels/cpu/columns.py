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

from .compile import kernel, specialised
from .scratch import empty

LINE = 1024  # elements: four lines are read at once, and shorter ones are over before the memory's prefetcher has seen them
JOB = 1 << 15  # elements

left: Any  # what the loops below call; each copy of them has its own
add_four: Any
add_line: Any


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


def _add_lines(a, b, mean, sums, products):
    """sums and products, one for each number of a line: those of left(a) and left(a) * (b - mean) over all lines."""
    width = mean.size
    for j in range(width):
        sums[j] = 0
        products[j] = 0
    fours = a.size // (4 * width) * (4 * width)
    for at in range(0, fours, 4 * width):
        four = a[at : at + 4 * width].reshape(4, width), b[at : at + 4 * width].reshape(4, width)
        add_four(four[0], four[1], mean, sums, products)  # noqa: F821
    for at in range(fours, a.size, width):
        add_line(a[at : at + width], b[at : at + width], mean, sums, products)  # noqa: F821


def _add_four(a, b, mean, sums, products):
    """Four lines are added to each other first: the sums then travel to memory and back once for all of them."""
    for j in range(mean.size):
        m = mean[j]
        a0, a1, a2, a3 = left(a[0, j], m), left(a[1, j], m), left(a[2, j], m), left(a[3, j], m)  # noqa: F821
        sums[j] += (a0 + a1) + (a2 + a3)
        products[j] += (a0 * (b[0, j] - m) + a1 * (b[1, j] - m)) + (a2 * (b[2, j] - m) + a3 * (b[3, j] - m))


def _add_line(a, b, mean, sums, products):
    for j in range(a.size):
        a0 = left(a[j], mean[j])  # noqa: F821
        sums[j] += a0
        products[j] += a0 * (b[j] - mean[j])


@njit
def _as_it_is(a, mean):
    return np.float64(a)


@njit
def _centred(a, mean):
    return a - mean


def _over_lines(name: str, left: Any) -> Any:
    four, one = (njit(specialised(f, f"{name}{f.__name__}", left=left)) for f in (_add_four, _add_line))
    return njit(specialised(_add_lines, name, add_four=four, add_line=one))


add_products = _over_lines("add_products", _as_it_is)  # a and a * (b - mean)
add_squares = _over_lines("add_squares", _centred)  # a - mean and (a - mean) * (b - mean)


@kernel
def _products(a, b, mean, step, partial):
    for index in prange(partial.shape[0]):
        at = np.int64(index) * step
        add_products(a[at : at + step], b[at : at + step], mean, partial[index, 0], partial[index, 1])
