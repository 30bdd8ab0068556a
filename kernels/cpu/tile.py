"""The tile: the one inner loop that every product and every convolution is made of.

It is a batch-reduce GEMM whose rows have arbitrary addresses:

    C_i[v] (+)= sum_{t < taps} sum_{k < length_t} A_i[a_t + k*a_step] * B[b_t + k*b_step + v]     i < MR, v < NR

Rows of a matrix, pixels of a padded image or filter taps of a gradient differ only in their addresses, so one compiled
body fits all. A is broadcast one number at a time, which asks nothing of its layout; B is read as whole vectors. The
sums are SSA values over the whole loop: LLVM keeps them in registers, and a test reads the assembly to hold that.

    B row:        [   v0   |   v1   ]          registers on AVX2: 12 sums + 2 of B + 1 broadcast = 15 of 16
    A_0  x  ->    [ sum 00 | sum 01 ]
    A_5  x  ->    [ sum 50 | sum 51 ]

After Georganas et al. 2020, "Harnessing deep learning via a single building block" (arXiv 1906.06440).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import I64, Vectors


@intrinsic(prefer_literal=True)
def tile(
    typing: Any,
    rows: Any,
    out: Any,
    column: Any,
    valid_rows: Any,
    taps: Any,
    count: Any,
    a_step: Any,
    b: Any,
    b_step: Any,
    valid_columns: Any,
    bias: Any,
    floor: Any,
    accumulate: Any,
    mr: Any,
    vectors: Any,
    width: Any,
) -> Any:
    """One tile of C; its dtype is that of `floor`.

    rows, out: addresses of int64[MR] tables of addresses, of A_i and of C_i.   column: bytes added to C_i.
    valid_rows, valid_columns: how many of C are written; all C_i must be readable.
    taps: address of int64[count][3]: a_t and b_t in bytes, length_t >= 1.   a_step, b_step: bytes.   b: address.
    bias: address of NR numbers, added.   floor: smaller results are raised to it (0: relu, -inf: none; a NaN stays).
    accumulate: not 0 adds into C.   mr, vectors, width: literals, the tile's form.
    """
    signature = types.void(*[types.int64] * 11, floor, types.int64, mr, vectors, width)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Constant:
        Tile(builder, floor, width.literal_value, vectors.literal_value, mr.literal_value).write(*args[:13])
        return context.get_dummy_value()

    return signature, emit


class Tile(Vectors):
    """Writes one tile of `rows` x `vectors` registers."""

    def __init__(self, builder: ir.IRBuilder, dtype: Any, width: int, vectors: int, rows: int):
        super().__init__(builder, dtype, width)
        self.vectors, self.rows = vectors, rows

    def write(
        self, rows, out, column, valid_rows, taps, count, a_step, b, b_step, columns, bias, floor, accumulate
    ) -> None:
        """The whole tile, with the arguments of `tile`; C is written in two ways, for whole and for ragged columns."""
        sums = self.reduce(self.table(rows), taps, count, a_step, b, b_step)
        bias, floor = [self.load(bias, v) for v in range(self.vectors)], self.splat(floor)
        whole, ragged, done = (self.b.append_basic_block(name) for name in ("whole", "ragged", "done"))
        self.b.cbranch(self.b.icmp_signed("==", columns, self.integer(self.vectors * self.lanes)), whole, ragged)
        for block in (whole, ragged):
            self.b.position_at_end(block)
            masks = [None if block is whole else self.mask(columns, v) for v in range(self.vectors)]
            c = [self.b.add(address, column) for address in self.table(out)]
            self.finish(sums, c, valid_rows, masks, bias, floor, accumulate)
            self.b.branch(done)
        self.b.position_at_end(done)

    # ------------------------------------------------------------------------------------------------ the reduction

    def reduce(self, a: list, taps: Any, count: Any, a_step: Any, b: Any, b_step: Any) -> list:
        """sum over taps and k; `a`: row addresses. Returns rows x vectors sums, row after row."""
        start = self.b.block
        head, tap, body, end = (self.b.append_basic_block(name) for name in ("taps", "tap", "k", "taps.end"))
        self.b.branch(head)

        self.b.position_at_end(head)  # for t in taps
        t = self.phi(I64, (taps, start))
        sums = [self.phi(self.vector, (self.zero, start)) for _ in range(self.rows * self.vectors)]
        last = self.b.add(taps, self.b.mul(count, self.integer(24)))
        self.b.cbranch(self.b.icmp_unsigned("<", t, last), tap, end)

        self.b.position_at_end(tap)
        a_first, b_first, length = (self.word(t, field) for field in range(3))
        b_first = self.b.add(b, b_first)
        self.b.branch(body)

        self.b.position_at_end(body)  # for k in range(length), length >= 1
        left, a_at, b_at = (self.phi(I64, (first, tap)) for first in (length, a_first, b_first))
        inner = [self.phi(self.vector, (s, tap)) for s in sums]
        new = self.multiply_add(a, a_at, b_at, inner)
        following = [self.b.sub(left, self.integer(1)), self.b.add(a_at, a_step), self.b.add(b_at, b_step)]
        for phi, value in zip([left, a_at, b_at, *inner], [*following, *new], strict=True):
            phi.add_incoming(value, body)
        again = self.b.append_basic_block("tap.end")
        self.b.cbranch(self.b.icmp_signed("!=", following[0], self.integer(0)), body, again)

        self.b.position_at_end(again)
        for phi, value in zip([t, *sums], [self.b.add(t, self.integer(24)), *new], strict=True):
            phi.add_incoming(value, again)
        self.b.branch(head)
        self.b.position_at_end(end)
        return sums

    def multiply_add(self, a: list, a_at: Any, b_at: Any, sums: list) -> list:
        """One k: every row's number times B's vectors, added to the sums."""
        row_of_b = [self.load(b_at, v) for v in range(self.vectors)]
        new = []
        for i in range(self.rows):
            x = self.splat(self.b.load(self.pointer(self.b.add(a[i], a_at)), align=self.size, typ=self.scalar))
            for v in range(self.vectors):
                new.append(self.fma(x, row_of_b[v], sums[i * self.vectors + v]))
        return new

    # ------------------------------------------------------------------------------------------------ the epilogue

    def finish(
        self, sums: list, c: list, valid_rows: Any, masks: list, bias: list, floor: Any, accumulate: Any
    ) -> None:
        """C_i = max(sums + bias (+ C_i), floor) for the valid rows; masks hide columns that do not exist."""
        start, add, write = self.b.block, self.b.append_basic_block("accumulate"), self.b.append_basic_block("write")
        self.b.cbranch(self.b.icmp_signed("!=", accumulate, self.integer(0)), add, write)
        self.b.position_at_end(add)
        places = [(address, v) for address in c for v in range(self.vectors)]
        added = [self.b.fadd(self.load(at, v, masks[v]), s) for (at, v), s in zip(places, sums, strict=True)]
        self.b.branch(write)
        self.b.position_at_end(write)
        totals = [self.phi(self.vector, (s, start), (t, add)) for s, t in zip(sums, added, strict=True)]
        for i in range(self.rows):
            with self.b.if_then(self.b.icmp_signed("<", self.integer(i), valid_rows)):
                for v in range(self.vectors):
                    y = self.b.fadd(totals[i * self.vectors + v], bias[v])
                    y = self.b.select(self.b.fcmp_ordered("<=", y, floor), floor, y)
                    self.store(y, c[i], v, masks[v])

    def table(self, address: Any) -> list:
        return [self.word(address, i) for i in range(self.rows)]
