"""Winograd's transforms, F(m x m, 3 x 3): m outputs of a filter of three taps from m + 2 products instead of 3m.

    y = A^T [ (G g) . (B^T d) ]              d: m + 2 inputs, g: 3 taps, y: m outputs;    y_i = sum_r d_{i+r} g_r

The filter and the input are polynomials; B^T and G evaluate them at points, A^T puts the product together. In two
dimensions each transform is applied to columns, then to rows. F(2x2) takes the points 0, 1, -1 and infinity, F(4x4) also
1/2 and -2 instead of the usual 2 and -2: their powers stay smaller, and the error with them (a test holds by how much).

Each transform is written once, factored, as a function of anything that can be added and multiplied by a fraction: of
vectors when a kernel is compiled, of rational numbers when a test proves it.

After Lavin and Gray 2016, "Fast algorithms for convolutional neural networks" (arXiv 1509.09308).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import WIDTH, Vectors

LINE = 64  # bytes of a cache line, which every transform reads and writes whole
VECTORS_OF_LINE = LINE // WIDTH


def input_2(d: list) -> list:
    """B^T d"""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def filter_2(g: list) -> list:
    """G g"""
    ends = g[0] + g[2]
    return [g[0], (ends + g[1]) * Fraction(1, 2), (ends - g[1]) * Fraction(1, 2), g[2]]


def output_2(m: list) -> list:
    """A^T m"""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def input_4(d: list) -> list:
    """B^T d; row a is the product of (x - b) over all other points b, as coefficients of 1, x, ..., x^5."""
    even, odd = d[4] - d[2], d[3] - d[1]
    return [
        d[0] - d[2] + even + odd * Fraction(3, 2),
        even + odd + (d[3] + d[2]) * Fraction(3, 2),
        even - odd + (d[3] - d[2]) * Fraction(3, 2),
        even + odd * Fraction(2),
        even - odd * Fraction(1, 2),
        d[5] - d[3] - odd + even * Fraction(3, 2),
    ]


def filter_4(g: list) -> list:
    """G g; row a is (1, a, a^2) divided by the product of (a - b) over all other points b."""
    ends = g[0] + g[2]
    return [
        g[0],
        (ends + g[1]) * Fraction(1, 3),
        (g[1] - ends) * Fraction(1, 3),
        (g[0] + g[1] * Fraction(1, 2) + g[2] * Fraction(1, 4)) * Fraction(-16, 15),
        (g[0] - g[1] * Fraction(2) + g[2] * Fraction(4)) * Fraction(1, 15),
        g[2],
    ]


def output_4(m: list) -> list:
    """A^T m; row i holds a^i for every point a."""
    even, odd = m[1] + m[2], m[1] - m[2]
    return [
        m[0] + even + (m[3] + m[4]),
        odd + m[3] * Fraction(1, 2) - m[4] * Fraction(2),
        even + m[3] * Fraction(1, 4) + m[4] * Fraction(4),
        odd + m[5] + m[3] * Fraction(1, 8) - m[4] * Fraction(8),
    ]


# {m: (transform, numbers that it takes)}, in the order of the literals below
TRANSFORMS = {
    2: ((input_2, 4), (filter_2, 3), (output_2, 4)),
    4: ((input_4, 6), (filter_4, 3), (output_4, 6)),
}
INPUT, FILTER, OUTPUT = range(3)


@dataclass(frozen=True)
class Lanes:
    """A vector of which a formula can be written; a product that is added becomes one instruction with the addition."""

    e: Vectors
    value: Any

    def __add__(self, other: Lanes) -> Lanes:
        return Lanes(self.e, self.e.b.fadd(self.value, other.value, flags=("contract",)))

    def __sub__(self, other: Lanes) -> Lanes:
        return Lanes(self.e, self.e.b.fsub(self.value, other.value, flags=("contract",)))

    def __mul__(self, factor: Fraction) -> Lanes:
        constant = ir.Constant(self.e.vector, [float(factor)] * self.e.lanes)
        return Lanes(self.e, self.e.b.fmul(self.value, constant, flags=("contract",)))


@intrinsic(prefer_literal=True)
def transform(
    typing: Any, source: Any, step: Any, to: Any, to_step: Any, m: Any, which: Any, vectors: Any, width: Any
) -> Any:
    """One of the TRANSFORMS of float32 lines `step` bytes apart, into lines `to_step` bytes apart; addresses in bytes."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e, (function, terms) = _writer(builder, m, which, width)
        lines = [builder.add(args[0], builder.mul(args[1], e.integer(i))) for i in range(terms)]
        _apply(e, function, lines, args[2], args[3], vectors.literal_value)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, m, which, vectors, width), emit


@intrinsic(prefer_literal=True)
def transform_rows(
    typing: Any, table: Any, offset: Any, to: Any, to_step: Any, m: Any, which: Any, vectors: Any, width: Any
) -> Any:
    """The same of lines `offset` bytes behind the addresses in a table of int64."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e, (function, terms) = _writer(builder, m, which, width)
        lines = [builder.add(e.word(args[0], i), args[1]) for i in range(terms)]
        _apply(e, function, lines, args[2], args[3], vectors.literal_value)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, m, which, vectors, width), emit


@intrinsic(prefer_literal=True)
def transform_last(
    typing: Any,
    source: Any,
    step: Any,
    to: Any,
    to_step: Any,
    valid: Any,
    scale: Any,
    bias: Any,
    adds: Any,
    to_residual: Any,
    floor: Any,
    m: Any,
    vectors: Any,
    width: Any,
) -> Any:
    """The second output transform: max(scale * A^T m + bias (+ residual), floor) into the first `valid` lines. A NaN stays.

    adds: whether there is a residual, so many bytes after each line of the result.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e, (function, terms) = _writer(builder, m, OUTPUT, width)
        source, step, to, to_step, valid, scale, bias, adds, to_residual, floor = args[:10]
        lines = [builder.add(source, builder.mul(step, e.integer(i))) for i in range(terms)]
        floor, results = e.splat(floor), []
        for v in range(vectors.literal_value):
            factor, added = e.load(scale, v), e.load(bias, v)
            sums = function([Lanes(e, e.load(line, v)) for line in lines])
            results.append([e.fma(factor, y.value, added) for y in sums])
        for i in range(m.literal_value):
            with builder.if_then(builder.icmp_signed("<", e.integer(i), valid)):
                at = builder.add(to, builder.mul(to_step, e.integer(i)))
                with builder.if_else(adds) as (with_residual, without):
                    with with_residual:
                        for v, result in enumerate(results):
                            y = builder.fadd(result[i], e.load(builder.add(at, to_residual), v))
                            e.store(_floored(e, y, floor), at, v)
                    with without:
                        for v, result in enumerate(results):
                            e.store(_floored(e, result[i], floor), at, v)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, types.boolean, types.int64, floor, m, vectors, width), emit


def _floored(e: Vectors, y: Any, floor: Any) -> Any:
    return e.b.select(e.b.fcmp_ordered("<=", y, floor), floor, y)


def _writer(builder: ir.IRBuilder, m: Any, which: Any, width: Any) -> tuple:
    literal = which if isinstance(which, int) else which.literal_value
    return Vectors(builder, types.float32, width.literal_value), TRANSFORMS[m.literal_value][literal]


def _apply(e: Vectors, function: Any, lines: list, to: Any, to_step: Any, vectors: int) -> None:
    for v in range(vectors):
        for j, value in enumerate(function([Lanes(e, e.load(line, v)) for line in lines])):
            e.store(value.value, e.b.add(to, e.b.mul(to_step, e.integer(j))), v)
