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

from collections.abc import Callable
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
    valid_rows: Any,
    tall: Any,
    short: Any,
    column: Any,
    panels: Any,
    taps: Any,
    count: Any,
    a_step: Any,
    b: Any,
    b_step: Any,
    b_panel: Any,
    scale: Any,
    bias: Any,
    add: Any,
    from_d: Any,
    ahead: Any,
    beta: Any,
    floor: Any,
    mr: Any,
    mr_short: Any,
    vectors: Any,
    width: Any,
) -> Any:
    """Rows of tiles of C, `tall` of mr rows and then `short` of mr_short; their dtype is that of beta and `floor`.

    rows, out: addresses of int64 tables of addresses, of A_i and of C_i.
    valid_rows: how many of C are written; all C_i must be readable.
    column: bytes added to C_i.   panels: how many tiles are computed beside each other, before the rows below them.
    taps: address of int64[count][3]: a_t and b_t in bytes, length_t >= 1.   a_step, b_step, b_panel: bytes.   b: address.
    scale, bias: addresses of NR numbers for each panel.
    add: not 0 adds beta * D_i, where D_i lies from_d bytes after C_i.
    ahead: bytes of each row of the tile below that are asked for while a panel is computed; A's rows are in no cache yet.
    floor: smaller results are raised to it (0: relu, -inf: none; a NaN stays).
    mr, mr_short, vectors, width: literals, the tiles' forms.
    """
    signature = types.void(*[types.int64] * 18, beta, floor, mr, mr_short, vectors, width)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Constant:
        rows, out, valid, tall, short, *rest = args[:20]
        for count, form in ((tall, mr), (short, mr_short)):
            tile = Tile(builder, floor, width.literal_value, vectors.literal_value, form.literal_value)
            rows, out, valid = tile.below_each_other(rows, out, valid, count, rest)
        return context.get_dummy_value()

    return signature, emit


class Tile(Vectors):
    """Writes tiles of `rows` x `vectors` registers."""

    def __init__(self, builder: ir.IRBuilder, dtype: Any, width: int, vectors: int, rows: int):
        super().__init__(builder, dtype, width)
        self.vectors, self.rows = vectors, rows

    def below_each_other(self, rows: Any, out: Any, valid: Any, count: Any, rest: list) -> tuple:
        """A loop over `count` rows of tiles; the tables and the valid rows that remain."""
        steps = 8 * self.rows, 8 * self.rows, -self.rows
        return tuple(self.loop(count, (rows, out, valid), steps, lambda *state: self.beside_each_other(*state, *rest)))

    def beside_each_other(
        self,
        rows: Any,
        out: Any,
        valid: Any,
        column: Any,
        panels: Any,
        taps: Any,
        count: Any,
        a_step: Any,
        b: Any,
        b_step: Any,
        b_panel: Any,
        scale: Any,
        bias: Any,
        add: Any,
        from_d: Any,
        ahead: Any,
        *rest: Any,
    ) -> None:
        a, c, line = self.table(rows), self.table(out), self.vectors * self.lanes * self.size

        def one(column: Any, b: Any, scale: Any, bias: Any, asked: Any) -> None:
            places = [self.b.add(address, column) for address in c]
            for place in places:
                self.prefetch(place)
            self.ask(rows, asked, ahead)
            sums = self.reduce(a, taps, count, a_step, b, b_step)
            self.write_sums(sums, places, valid, scale, bias, add, from_d, *rest)

        first = self.word(taps, 0)
        self.loop(panels, (column, b, scale, bias, first), (line, b_panel, line, line, ahead), one)

    def ask(self, rows: Any, first: Any, nbytes: Any) -> None:
        """Prefetches nbytes of the rows of the tile below, from `first` on."""
        following = self.table(self.b.add(rows, self.integer(8 * self.rows)))

        def line(at: Any) -> None:
            for address in following:
                self.prefetch(self.b.add(address, at), 0)

        self.loop(self.b.ashr(nbytes, self.integer(6)), (first,), (64,), line)

    def write_sums(
        self, sums: list, c: list, valid: Any, scale: Any, bias: Any, add: Any, from_d: Any, beta: Any, floor: Any
    ) -> None:
        scales, biases = ([self.load(at, v) for v in range(self.vectors)] for at in (scale, bias))
        masks = [None] * self.vectors
        self.finish(sums, c, valid, masks, biases, self.splat(floor), add, scales, from_d, self.splat(beta))

    def loop(self, count: Any, start: tuple, steps: tuple, body: Callable[..., None]) -> list:
        """body(*state) `count` times; the state begins at `start` and goes on by `steps`."""
        before = self.b.block
        head, inside, end = (self.b.append_basic_block(name) for name in ("loop", "loop.body", "loop.end"))
        self.b.branch(head)
        self.b.position_at_end(head)
        left, *state = (self.phi(I64, (value, before)) for value in (count, *start))
        self.b.cbranch(self.b.icmp_signed(">", left, self.integer(0)), inside, end)
        self.b.position_at_end(inside)
        body(*state)
        for phi, step in zip((left, *state), (-1, *steps), strict=True):
            phi.add_incoming(self.b.add(phi, self.integer(step) if isinstance(step, int) else step), self.b.block)
        self.b.branch(head)
        self.b.position_at_end(end)
        return state

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

    def prefetch(self, address: Any, writes: int = 1) -> None:
        """Asks for a line that will be read, or written."""
        function = self.declared("llvm.prefetch.p0", ir.VoidType(), [ir.PointerType(), I32, I32, I32])
        self.b.call(function, [self.pointer(address), *(ir.Constant(I32, n) for n in (writes, 3, 1))])
