"""Sums and maxima of one row, in eight chains.

One chain would wait for each operation before it starts the next, and the compiler may not change the order of a sum by
itself. The chains are part of the result: the same for every CPU, batch and number of threads. Sums are float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .pooling import choose


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
