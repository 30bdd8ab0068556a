"""The tile where every channel has its own filter: both factors are vectors of channels.

    C_i[v] (+)= sum_{t < taps} sum_{k < length_t} A_i[a_t + k*a_step + v] * B[b_t + k*b_step + v]       i < MR, v < NR

It differs from the tile of products in one line, so it is that tile with this line written anew. A vector of A is used
once, where a broadcast number of a product is used NR times; so the loads are the limit here, not the products. Neither
factor is packed, hence a ragged last block of channels must be masked where it is read, not only where it is written.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .tile import Tile


@intrinsic(prefer_literal=True)
def depthwise_tile(
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
    """As `tile`, but column, in bytes, is added to A_i too, and only valid_columns of A and B need be readable."""
    signature = types.void(*[types.int64] * 11, floor, types.int64, mr, vectors, width)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Constant:
        DepthwiseTile(builder, floor, width.literal_value, vectors.literal_value, mr.literal_value).write(*args[:13])
        return context.get_dummy_value()

    return signature, emit


class DepthwiseTile(Tile):
    """Writes one tile of `rows` x `vectors` registers, in two ways: for whole and for ragged columns."""

    masks: list

    def write(
        self, rows, out, column, valid_rows, taps, count, a_step, b, b_step, columns, bias, floor, accumulate
    ) -> None:
        a, c = ([self.b.add(address, column) for address in self.table(table)] for table in (rows, out))
        bias, floor = [self.load(bias, v) for v in range(self.vectors)], self.splat(floor)
        whole, ragged, done = (self.b.append_basic_block(name) for name in ("whole", "ragged", "done"))
        self.b.cbranch(self.b.icmp_signed("==", columns, self.integer(self.vectors * self.lanes)), whole, ragged)
        for block in (whole, ragged):
            self.b.position_at_end(block)
            self.masks = [None if block is whole else self.mask(columns, v) for v in range(self.vectors)]
            sums = self.reduce(a, taps, count, a_step, b, b_step)
            self.finish(sums, c, valid_rows, self.masks, bias, floor, accumulate)
            self.b.branch(done)
        self.b.position_at_end(done)

    def multiply_add(self, a: list, a_at: Any, b_at: Any, sums: list) -> list:
        row_of_b = [self.load(b_at, v, self.masks[v]) for v in range(self.vectors)]
        new = []
        for i in range(self.rows):
            row_of_a = self.b.add(a[i], a_at)
            for v in range(self.vectors):
                new.append(self.fma(self.load(row_of_a, v, self.masks[v]), row_of_b[v], sums[i * self.vectors + v]))
        return new
