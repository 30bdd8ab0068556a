"""The tile: the one inner loop that every product and every convolution is made of.

It is a batch-reduce GEMM whose rows have arbitrary addresses:

    sum_i[v] = sum_{t < taps} sum_{k < length_t} A_i[a_t + k*a_step] * B[b_t + k*b_step + v]     i < MR, v < NR
    C_i[v] = max( scale[v] * sum_i[v] (+ beta * D_i[v]) + bias[v], floor )

Rows of a matrix, pixels of an image or filter taps of a gradient differ only in their addresses, so one compiled body
fits all. A is broadcast one number at a time, which asks nothing of its layout; B is read as whole vectors. The
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

from .simd import I32, I64, Vectors


@intrinsic(prefer_literal=True)
def tiles(
    typing: Any,
    rows: Any,
    out: Any,
    column: Any,
    valid_rows: Any,
    tall: Any,
    short: Any,
    taps: Any,
    count: Any,
    a_step: Any,
    b: Any,
    b_step: Any,
    scale: Any,
    bias: Any,
    add: Any,
    from_d: Any,
    beta: Any,
    floor: Any,
    mr: Any,
    mr_short: Any,
    vectors: Any,
    width: Any,
) -> Any:
    """A column of tiles of C, `tall` of mr rows and then `short` of mr_short; their dtype is that of beta and `floor`.

    rows, out: addresses of int64 tables of addresses, of A_i and of C_i.   column: bytes added to C_i.
    valid_rows: how many of C are written; all C_i must be readable.
    taps: address of int64[count][3]: a_t and b_t in bytes, length_t >= 1.   a_step, b_step: bytes.   b: address.
    scale, bias: addresses of NR numbers.   add: not 0 adds beta * D_i, where D_i lies from_d bytes after C_i.
    floor: smaller results are raised to it (0: relu, -inf: none; a NaN stays).
    mr, mr_short, vectors, width: literals, the tiles' forms.
    """
    signature = types.void(*[types.int64] * 15, beta, floor, mr, mr_short, vectors, width)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Constant:
        rows, out, column, valid, tall, short, *rest = args[:17]
        for count, form in ((tall, mr), (short, mr_short)):
            tile = Tile(builder, floor, width.literal_value, vectors.literal_value, form.literal_value)
            rows, out, valid = tile.column(rows, out, column, valid, count, rest)
        return context.get_dummy_value()

    return signature, emit


class Tile(Vectors):
    """Writes tiles of `rows` x `vectors` registers."""

    def __init__(self, builder: ir.IRBuilder, dtype: Any, width: int, vectors: int, rows: int):
        super().__init__(builder, dtype, width)
        self.vectors, self.rows = vectors, rows

    def column(self, rows: Any, out: Any, column: Any, valid: Any, count: Any, rest: list) -> tuple:
        """A loop over `count` tiles below each other; the tables and the valid rows that remain."""
        before = self.b.block
        head, body, end = (self.b.append_basic_block(name) for name in ("tiles", "tile", "tiles.end"))
        self.b.branch(head)
        self.b.position_at_end(head)
        state = [self.phi(I64, (value, before)) for value in (rows, out, valid, count)]
        self.b.cbranch(self.b.icmp_signed(">", state[3], self.integer(0)), body, end)
        self.b.position_at_end(body)
        arguments: list = [*state[:3], column, *rest]
        self.write_one(*arguments)
        steps = 8 * self.rows, 8 * self.rows, -self.rows, -1
        for phi, step in zip(state, steps, strict=True):
            phi.add_incoming(self.b.add(phi, self.integer(step)), self.b.block)
        self.b.branch(head)
        self.b.position_at_end(end)
        return tuple(state[:3])

    def write_one(
        self, rows, out, valid, column, taps, count, a_step, b, b_step, scale, bias, add, from_d, beta, floor
    ) -> None:
        c = [self.b.add(address, column) for address in self.table(out)]
        for address in c:
            self.prefetch(address)
        sums = self.reduce(self.table(rows), taps, count, a_step, b, b_step)
        scale, bias = ([self.load(at, v) for v in range(self.vectors)] for at in (scale, bias))
        masks = [None] * self.vectors
        self.finish(sums, c, valid, masks, bias, self.splat(floor), add, scale, from_d, self.splat(beta))

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
        self,
        sums: list,
        c: list,
        valid: Any,
        masks: list,
        bias: list,
        floor: Any,
        add: Any,
        scale: list | None = None,
        from_d: Any = None,
        beta: Any = None,
    ) -> None:
        """C_i = max(scale * sum (+ beta * D_i) + bias, floor) for the valid rows; masks hide columns that do not exist.

        Without scale, from_d and beta: C_i = max(sum (+ C_i) + bias, floor).
        """
        adding, plain, done = (self.b.append_basic_block(name) for name in ("adding", "plain", "done"))
        self.b.cbranch(self.b.icmp_signed("!=", add, self.integer(0)), adding, plain)
        for block in (adding, plain):
            self.b.position_at_end(block)
            for i in range(self.rows):
                with self.b.if_then(self.b.icmp_signed("<", self.integer(i), valid)):
                    for v in range(self.vectors):
                        d = None
                        if block is adding:
                            d = self.load(c[i] if from_d is None else self.b.add(c[i], from_d), v, masks[v])
                            d = d if beta is None else self.b.fmul(beta, d)
                        y = self.sum(sums[i * self.vectors + v], d, scale and scale[v])
                        y = self.b.fadd(y, bias[v])
                        y = self.b.select(self.b.fcmp_ordered("<=", y, floor), floor, y)
                        self.store(y, c[i], v, masks[v])
            self.b.branch(done)
        self.b.position_at_end(done)

    def sum(self, x: Any, d: Any, scale: Any) -> Any:
        """scale * x + d, where there are such."""
        if scale is None:
            return x if d is None else self.b.fadd(x, d)
        return self.b.fmul(scale, x) if d is None else self.fma(scale, x, d)

    def table(self, address: Any) -> list:
        return [self.word(address, i) for i in range(self.rows)]

    def prefetch(self, address: Any) -> None:
        """Asks for a line that will be written."""
        function = self.declared("llvm.prefetch.p0", ir.VoidType(), [ir.PointerType(), I32, I32, I32])
        self.b.call(function, [self.pointer(address), *(ir.Constant(I32, n) for n in (1, 3, 1))])
