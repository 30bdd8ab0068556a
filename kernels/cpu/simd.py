"""Vectors in registers: the inner loop that Numba's own language cannot express.

One tile serves every product and every convolution: a batch-reduce GEMM whose rows have arbitrary addresses.

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

from .compile import target

# Tile: MR rows of VECTORS registers of WIDTH bytes. As many sums as registers allow after B and the broadcast.
FEATURES = target()[1].split(",")
HAS_FMA = "+fma" in FEATURES
if "+avx512f" in FEATURES:
    MR, VECTORS, WIDTH = 8, 2, 64
elif "+avx2" in FEATURES:
    MR, VECTORS, WIDTH = 6, 2, 32
else:
    MR, VECTORS, WIDTH = 6, 2, 16

I1, I64 = ir.IntType(1), ir.IntType(64)


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

    rows, out: addresses of int64[MR] tables of addresses: of A_i and of C_i.   column: bytes added to C_i.   valid_rows:
    how many C_i are written; all must be readable.   taps: address of int64[count][3]: a_t, b_t (bytes), length_t >= 1.   a_step, b, b_step: bytes.
    valid_columns: how many columns are written.   bias: address of NR numbers, added.   floor: smaller results are raised
    to it (0 is relu, -inf is none; a NaN stays).   accumulate: not 0 adds into C.   mr, vectors, width: literals.
    """
    scalar = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[floor]
    lanes = width.literal_value // (floor.bitwidth // 8)
    signature = types.void(*[types.int64] * 11, floor, types.int64, mr, vectors, width)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Constant:
        Emitter(builder, scalar, lanes, vectors.literal_value, mr.literal_value).tile(*args[:13])
        return context.get_dummy_value()

    return signature, emit


class Emitter:
    """Writes LLVM IR for one tile of `rows` x `vectors` registers of `lanes` numbers."""

    def __init__(self, builder: ir.IRBuilder, scalar: ir.Type, lanes: int, vectors: int, rows: int):
        self.b, self.scalar, self.lanes, self.vectors, self.rows = builder, scalar, lanes, vectors, rows
        self.vector = ir.VectorType(scalar, lanes)
        self.size = 4 if isinstance(scalar, ir.FloatType) else 8
        self.suffix = f"v{lanes}f{8 * self.size}"

    def tile(self, rows, out, column, valid_rows, taps, count, a_step, b, b_step, columns, bias, floor, accumulate) -> None:  # type: ignore[no-untyped-def]
        sums = self.reduce(self.table(rows), taps, count, a_step, b, b_step)
        bias = [self.load(bias, v) for v in range(self.vectors)]
        floor = self.splat(floor)
        whole, ragged, done = (self.b.append_basic_block(name) for name in ("whole", "ragged", "done"))
        self.b.cbranch(self.b.icmp_signed("==", columns, self.int(self.vectors * self.lanes)), whole, ragged)
        for block in (whole, ragged):
            self.b.position_at_end(block)
            masks = [None if block is whole else self.mask(columns, v) for v in range(self.vectors)]
            places = [self.b.add(address, column) for address in self.table(out)]
            self.finish(sums, places, valid_rows, masks, bias, floor, accumulate)
            self.b.branch(done)
        self.b.position_at_end(done)

    # ------------------------------------------------------------------------------------------------ the reduction

    def reduce(self, a: list, taps: Any, count: Any, a_step: Any, b: Any, b_step: Any) -> list:
        """sum over taps and k; `a`: row addresses. Returns rows x vectors sums, row after row."""
        start = self.b.block
        head, tap, body, end = (self.b.append_basic_block(name) for name in ("taps", "tap", "k", "taps.end"))
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.b.branch(head)

        self.b.position_at_end(head)  # for t in taps
        t = self.phi(I64, (taps, start))
        sums = [self.phi(self.vector, (zero, start)) for _ in range(self.rows * self.vectors)]
        last = self.b.add(taps, self.b.mul(count, self.int(24)))
        self.b.cbranch(self.b.icmp_unsigned("<", t, last), tap, end)

        self.b.position_at_end(tap)
        a_first, b_first, length = (self.word(t, field) for field in range(3))
        b_first = self.b.add(b, b_first)
        self.b.branch(body)

        self.b.position_at_end(body)  # for k in range(length), length >= 1
        left, a_at, b_at = (self.phi(I64, (first, tap)) for first in (length, a_first, b_first))
        inner = [self.phi(self.vector, (s, tap)) for s in sums]
        new = self.multiply_add(a, a_at, b_at, inner)
        following = [self.b.sub(left, self.int(1)), self.b.add(a_at, a_step), self.b.add(b_at, b_step)]
        for phi, value in zip([left, a_at, b_at, *inner], [*following, *new], strict=True):
            phi.add_incoming(value, body)
        again = self.b.append_basic_block("tap.end")
        self.b.cbranch(self.b.icmp_signed("!=", following[0], self.int(0)), body, again)

        self.b.position_at_end(again)
        for phi, value in zip([t, *sums], [self.b.add(t, self.int(24)), *new], strict=True):
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

    def finish(self, sums: list, out: list, valid_rows: Any, masks: list, bias: list, floor: Any, accumulate: Any) -> None:
        """C_i = max(sums + bias (+ C_i), floor) for the valid rows; masks hide columns that do not exist."""
        start, add, write = self.b.block, self.b.append_basic_block("accumulate"), self.b.append_basic_block("write")
        self.b.cbranch(self.b.icmp_signed("!=", accumulate, self.int(0)), add, write)
        self.b.position_at_end(add)
        places = [(address, v) for address in out for v in range(self.vectors)]
        added = [self.b.fadd(self.load(c, v, masks[v]), s) for (c, v), s in zip(places, sums, strict=True)]
        self.b.branch(write)
        self.b.position_at_end(write)
        totals = [self.phi(self.vector, (s, start), (t, add)) for s, t in zip(sums, added, strict=True)]
        for i in range(self.rows):
            with self.b.if_then(self.b.icmp_signed("<", self.int(i), valid_rows)):
                for v in range(self.vectors):
                    y = self.b.fadd(totals[i * self.vectors + v], bias[v])
                    y = self.b.select(self.b.fcmp_ordered("<", y, floor), floor, y)
                    self.store(y, out[i], v, masks[v])

    # ------------------------------------------------------------------------------------------------ words

    def int(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def phi(self, kind: ir.Type, *incoming: tuple) -> ir.PhiInstr:
        phi = self.b.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def pointer(self, address: Any, offset: int = 0) -> Any:
        return self.b.inttoptr(self.b.add(address, self.int(offset)) if offset else address, ir.PointerType())

    def word(self, address: Any, index: int) -> Any:
        return self.b.load(self.pointer(address, 8 * index), align=8, typ=I64)

    def table(self, address: Any) -> list:
        return [self.word(address, i) for i in range(self.rows)]

    def splat(self, x: Any) -> Any:
        one = self.b.insert_element(ir.Constant(self.vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), mask)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x*y + z, rounded once where the CPU can (llvm.fma would call a slow library function elsewhere)."""
        if not HAS_FMA:
            return self.b.fadd(self.b.fmul(x, y), z)
        return self.b.call(self.declared(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3), [x, y, z])

    def mask(self, columns: Any, v: int) -> Any:
        """Lane l of vector v is on where v*lanes + l < columns."""
        many = ir.VectorType(I64, self.lanes)
        count = self.b.insert_element(ir.Constant(many, ir.Undefined), columns, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        count = self.b.shuffle_vector(count, ir.Constant(many, ir.Undefined), zeros)
        return self.b.icmp_signed("<", ir.Constant(many, [v * self.lanes + lane for lane in range(self.lanes)]), count)

    def load(self, address: Any, v: int, mask: Any = None) -> Any:
        pointer = self.pointer(address, v * self.lanes * self.size)
        if mask is None:
            return self.b.load(pointer, align=self.size, typ=self.vector)
        kinds = [pointer.type, ir.IntType(32), ir.VectorType(I1, self.lanes), self.vector]
        function = self.declared(f"llvm.masked.load.{self.suffix}.p0", self.vector, kinds)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        return self.b.call(function, [pointer, ir.Constant(ir.IntType(32), self.size), mask, zero])

    def store(self, value: Any, address: Any, v: int, mask: Any = None) -> None:
        pointer = self.pointer(address, v * self.lanes * self.size)
        if mask is None:
            self.b.store(value, pointer, align=self.size)
            return
        kinds = [self.vector, pointer.type, ir.IntType(32), ir.VectorType(I1, self.lanes)]
        function = self.declared(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), kinds)
        self.b.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.size), mask])

    def declared(self, name: str, result: ir.Type, arguments: list) -> Any:
        """An LLVM intrinsic by name; llvmlite's own declare_intrinsic does not know vectors."""
        module = self.b.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)
