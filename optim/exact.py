"""A power and a cosine that are the same to the last bit on every machine.

The C library's pow and cos may differ in the last bit between CPUs and versions, and a learning rate or a bias correction
that differs between ranks would part their weights. Decimal arithmetic is done in integers: 40 digits, rounded once to a
float. A call takes microseconds, once an update.
"""

from __future__ import annotations

from decimal import Context, Decimal

_DIGITS = Context(prec=40, traps=[])
_PI = Decimal("3.141592653589793238462643383279502884197169")


def power(x: float, p: float) -> float:
    """x^p for x >= 0; 0^0 = 1."""
    return float(_DIGITS.power(Decimal(x), Decimal(p))) if p else 1.0


def cosine(half_turns: float) -> float:
    """cos(pi * half_turns) for 0 <= half_turns <= 1, by its series."""
    angle = _DIGITS.multiply(_PI, Decimal(half_turns))
    square = _DIGITS.multiply(angle, angle)
    term = total = Decimal(1)
    for n in range(2, 60, 2):  # pi^60 / 60! < 1e-52
        term = _DIGITS.divide(_DIGITS.multiply(-term, square), Decimal(n * (n - 1)))
        total = _DIGITS.add(total, term)
    return float(total)
