"""Logarithm, cosine and sine from sums, products and quotients alone.

The C library's own take another path on CPUs with fused multiply-add, and the last bit differs; but every replica draws
its initial weights for itself, and they must be equal on unequal CPUs. Right to about one unit in the last place.

The polynomials are those of FreeBSD's msun (e_log.c, k_cos.c, k_sin.c):
Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this
software is freely granted, provided that this notice is preserved.
"""

from __future__ import annotations

import math

from numba import njit

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@njit(error_model="numpy")
def log(x):
    """Natural logarithm of a positive, normal float64.

    x = 2^k * (1 + f),  s = f / (2 + f):   log(x) = k log 2 + 2 (s + s^3/3 + s^5/5 + ...)
    """
    m, k = math.frexp(x)
    if m < 0.7071067811865476:
        m, k = 2.0 * m, k - 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f)


@njit
def cos_sin_of_turns(v):
    """(cos(2 pi v), sin(2 pi v)) for 0 <= v < 1. v is brought into [-1/8, 1/8] exactly, before 2 pi enters."""
    quarter = math.floor(4.0 * v + 0.5)
    t = 2.0 * math.pi * (v - 0.25 * quarter)
    cosine, sine = _cos(t), _sin(t)
    quarter = int(quarter) & 3
    if quarter == 0:
        return cosine, sine
    if quarter == 1:
        return -sine, cosine
    return (-cosine, -sine) if quarter == 2 else (sine, -cosine)


@njit
def _cos(t):
    z = t * t
    r = z * (
        4.16666666666666019037e-02
        + z
        * (
            -1.38888888888741095749e-03
            + z
            * (
                2.48015872894767294178e-05
                + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))
            )
        )
    )
    w = 1.0 - 0.5 * z
    return w + (((1.0 - w) - 0.5 * z) + z * r)


@njit
def _sin(t):
    z = t * t
    r = 8.33333333332248946124e-03 + z * (
        -1.98412698298579493134e-04
        + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))
    )
    return t + z * t * (-1.66666666666666324348e-01 + z * r)
