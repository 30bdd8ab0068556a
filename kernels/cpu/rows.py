"""One row after the other; and sums and maxima of a row, in several chains.

One chain would wait for each operation before it starts the next, and the compiler may not change the order of a sum by
itself. The chains are part of the result: the same for every CPU, batch and number of threads. Sums are float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import Kernel, kernel, specialised
from .pooling import choose

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


def run_rows(kernel: Kernel, a: np.ndarray, out: np.ndarray, cost: int) -> None:
    """Runs it over the last axis of a; out holds as many rows. cost: bytes or operations of an element."""
    rows, width = a.size // a.shape[-1], a.shape[-1]
    kernel(
        a.reshape(rows, width), out.reshape(rows, out.size // max(1, rows)), max(1, JOB // width), work=cost * a.size
    )


@njit
def total(a):
    """sum_i a[i]"""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    eights = a.size // 8 * 8
    for i in range(0, eights, 8):
        s0 += a[i]
        s1 += a[i + 1]
        s2 += a[i + 2]
        s3 += a[i + 3]
        s4 += a[i + 4]
        s5 += a[i + 5]
        s6 += a[i + 6]
        s7 += a[i + 7]
    for i in range(eights, a.size):
        s0 += a[i]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@njit
def dot(a, b):
    """sum_i a[i] * b[i], each product in float64"""
    s0 = s1 = s2 = s3 = 0.0
    fours = a.size // 4 * 4
    for i in range(0, fours, 4):
        s0 += np.float64(a[i]) * b[i]
        s1 += np.float64(a[i + 1]) * b[i + 1]
        s2 += np.float64(a[i + 2]) * b[i + 2]
        s3 += np.float64(a[i + 3]) * b[i + 3]
    for i in range(fours, a.size):
        s0 += np.float64(a[i]) * b[i]
    return (s0 + s1) + (s2 + s3)


@njit
def larger(a, b):
    """The larger of two; a NaN if one of them is."""
    return choose((a > b) | (a != a), a, b)


@njit
def highest(a):
    """The maximum of one number or more; a NaN if there is one."""
    m0 = m1 = m2 = m3 = a[0]
    fours = a.size // 4 * 4
    for i in range(0, fours, 4):
        m0 = larger(a[i], m0)
        m1 = larger(a[i + 1], m1)
        m2 = larger(a[i + 2], m2)
        m3 = larger(a[i + 3], m3)
    for i in range(fours, a.size):
        m0 = larger(a[i], m0)
    return larger(larger(m0, m1), larger(m2, m3))
