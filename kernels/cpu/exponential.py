"""The exponential and its relatives as sums, products, quotients and choices, so that a loop over them is a loop of vectors.

The C library's functions take one number at a time. They may differ in the last bit between CPUs, so they are for
activations, not for what every replica must compute alike (that is elementary.py).

The polynomials of exp and log are those of FreeBSD's msun (e_exp.c, e_expf.c, e_log.c, e_logf.c):
Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this
software is freely granted, provided that this notice is preserved.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .pooling import choose
from .precision import by_precision

BITS = {types.float32: (32, 23, 127), types.float64: (64, 52, 1023)}  # of a word, of its mantissa, exponent of 1.0

LOG2_E = 1 / math.log(2)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
SHIFT = 1.5 * 2**52  # added to a number, leaves its integer part in the last bits
LOWEST, HIGHEST = -708.0, 709.782712893384  # exponentials of less are 0, of more infinite
EXP = (
    4.13813679705723846039e-08,
    -1.65339022054652515390e-06,
    6.61375632143793436117e-05,
    -2.77777777770155933842e-03,
    1.66666666666666019037e-01,
)
LOG = (
    1.479819860510658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)
ERFC = (
    8.3937348586908774e-10,
    9.8625335103455874e-10,
    -8.2175950587114546e-09,
    -1.3312919661038689e-08,
    4.1064013667940355e-08,
    1.0183620603842738e-07,
    -1.4047654315428462e-07,
    -6.1660114603987257e-07,
    3.5576086684080595e-07,
    3.4723709449771682e-06,
    -7.3082814687836140e-07,
    -2.0100542268525612e-05,
    4.9491966499683450e-06,
    1.2509934245837290e-04,
    -1.0515971958448065e-04,
    -7.7983226965433060e-04,
    1.8886903449991718e-03,
    2.5293918156939696e-03,
    -2.3770514917171338e-02,
    6.8308027344009897e-02,
    -1.1927366341538638e-01,
    1.2964515870275939e-01,
    -4.7562294353449198e-02,
    -1.3562110612458117e-01,
    1.2530080582697296e00,
)
INFINITY = float("inf")
DENSITY = 1 / math.sqrt(2 * math.pi)
SQRT_HALF = math.sqrt(0.5)

SINGLE = {
    "LN2_HIGH": 6.9314575195e-01,
    "LN2_LOW": 1.4286067653e-06,
    "SHIFT": 1.5 * 2**23,
    "LOWEST": -86.9,
    "HIGHEST": 88.72283,
    "EXP": (
        -2.7667332906e-3,
        1.6666625440e-1,
    ),
    "LOG": (
        2.4279078841e-1,
        2.8498786688e-1,
        4.0000972152e-1,
        6.6666662693e-1,
    ),
    "ERFC": (
        3.861849137e-6,
        7.731024224e-5,
        -1.041307143e-4,
        -7.26453679e-4,
        1.888112865e-3,
        2.49911687e-3,
        -2.377033468e-2,
        6.831656777e-2,
        -1.192736913e-1,
        1.296441143e-1,
        -4.75622927e-2,
        -1.356210694e-1,
        1.253008058,
    ),
}


@intrinsic
def horner(typing: Any, x: Any, coefficients: Any) -> Any:
    """coefficients[0] * x^n + ... + coefficients[n], without the loop, which long polynomials would keep."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        first, *rest = (builder.extract_value(args[1], i) for i in range(len(coefficients)))
        for c in rest:
            first = builder.fadd(builder.fmul(first, args[0]), c)
        return first

    return x(x, coefficients), emit


@intrinsic
def power_of_two(typing: Any, shifted: Any) -> Any:
    """2^n, from n + SHIFT: the last bits of that number become the exponent of this."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        size, mantissa, one = BITS[shifted]
        word = ir.IntType(size)
        exponent = builder.add(builder.bitcast(args[0], word), ir.Constant(word, one))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, mantissa)), args[0].type)

    return shifted(shifted), emit


@by_precision
def parts(x):
    """(s, p) with exp(x) = (1 + p) * power_of_two(s):   x = n log 2 + r,  s = n + SHIFT,  p = exp(r) - 1."""
    s = x * LOG2_E + SHIFT
    n = s - SHIFT
    high, low = x - n * LN2_HIGH, n * LN2_LOW
    r = high - low
    c = r - r * r * horner(r * r, EXP)
    return s, high - (low - r * c / (2.0 - c))


@by_precision
def exp(x):
    """exp(x), right to two units in the last place; 0 below the exponential of LOWEST, near the least normal number."""
    s, p = parts(x)
    y = (2.0 + 2.0 * p) * power_of_two(s - 1.0)  # 2^n itself may be too large where the product is not
    return choose(x < LOWEST, 0.0, choose(x > HIGHEST, INFINITY, y))


@by_precision
def expm1(x):
    """exp(x) - 1 for x <= 0, without the loss near 0."""
    s, p = parts(choose(x < LOWEST, LOWEST, x))
    scale = power_of_two(s)
    return p * scale + (scale - 1.0)


@by_precision
def log1p(x):
    """log(1 + x) for 0 <= x <= 1: as log(1 + f), or as log 2 + log(1 + f), with f within sqrt(1/2) - 1 and sqrt(2) - 1."""
    upper = x > 0.41421356237
    f = choose(upper, (x - 1.0) * 0.5, x)
    s = f / (2.0 + f)
    half = 0.5 * f * f
    tail = s * (half + s * s * horner(s * s, LOG))
    return choose(upper, LN2_HIGH, 0.0) - ((half - (tail + choose(upper, LN2_LOW, 0.0))) - f)


@by_precision
def sigmoid(x):
    """1 / (1 + exp(-x)); the exponential is of -|x|, so it never overflows."""
    e = exp(-abs(x))
    return choose(x < 0.0, e, choose(x == x, 1.0, x)) / (1.0 + e)


@by_precision
def tanh(x):
    m = expm1(-2.0 * abs(x))
    y = m / (2.0 + m)
    return choose(x < 0.0, y, -y)


@by_precision
def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))"""
    return choose(x < 0.0, 0.0, x) + log1p(exp(-abs(x)))


@by_precision
def normal_distribution(x):
    """F(x) = erfc(-x / sqrt(2)) / 2.

    With z = |x| / sqrt(2):   erfc(z) = exp(-z^2) / (1 + 2z) * h( (z - 3) / (z + 3) ),   h a polynomial on [-1, 1]
    After Shepherd and Laframboise 1981, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity".
    """
    z = choose(abs(x) < 40.0, abs(x), 40.0) * SQRT_HALF
    tail = 0.5 * exp(-0.5 * x * x) / (1.0 + 2.0 * z) * horner((z - 3.0) / (z + 3.0), ERFC)
    return choose(x < 0.0, tail, 1.0 - tail)
