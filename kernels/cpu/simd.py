"""Vectors in registers, written as LLVM IR: what Numba's own language cannot say.

Left to itself the compiler vectorises a matrix product to a few per cent of the hardware. Numba lets a function supply
the IR of its own body (`@intrinsic`), so the few loops that matter are written out in vectors; the rest stays Python.
Explicit vectors mean the same on every CPU: where it has no registers that wide, LLVM uses two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from .compile import target

# The tile: VECTORS registers of WIDTH bytes a row, MR rows or SHORT, so that few of the rows of a product are made up;
# as many sums as fit beside a row of B and a broadcast number, and at least as many as are needed to fill the pipeline.
FEATURES = target()[1].split(",")
HAS_FMA = "+fma" in FEATURES
if "+avx512f" in FEATURES:
    MR, SHORT, VECTORS, WIDTH = 12, 8, 2, 64
elif "+avx2" in FEATURES:
    MR, SHORT, VECTORS, WIDTH = 6, 4, 2, 32
else:
    MR, SHORT, VECTORS, WIDTH = 6, 4, 2, 16

ROW_BYTES = VECTORS * WIDTH  # of one row of a panel of B
BLOCK = 32 * 1024 // ROW_BYTES  # terms of the sum: long blocks touch the pages of A and C seldom
PANELS = 8  # of a job: a block of them fills half of a 512 KiB cache

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
SCALARS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


def lanes(dtype: Any) -> int:
    """NR: the columns of a tile."""
    return ROW_BYTES // np.dtype(dtype).itemsize


class Vectors:
    """Writes vector instructions at the end of the builder's block.

    dtype: Numba's float32 or float64.   width: bytes of a register.   Addresses are 64-bit integers, in bytes.
    """

    def __init__(self, builder: ir.IRBuilder, dtype: Any, width: int):
        self.b, self.scalar, self.size = builder, SCALARS[dtype], dtype.bitwidth // 8
        self.lanes = width // self.size
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def phi(self, kind: ir.Type, *incoming: tuple) -> ir.PhiInstr:
        phi = self.b.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def pointer(self, address: Any, offset: int = 0) -> Any:
        return self.b.inttoptr(self.b.add(address, self.integer(offset)) if offset else address, ir.PointerType())

    def word(self, address: Any, index: int) -> Any:
        return self.b.load(self.pointer(address, 8 * index), align=8, typ=I64)

    def splat(self, x: Any) -> Any:
        """The number x in every lane."""
        kind = ir.VectorType(x.type, self.lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(I32, 0))
        return self.shuffle(one, one, [0] * self.lanes)

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """Lane l of the result is lane lanes[l] of x followed by y."""
        return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, self.lanes), lanes))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x*y + z, rounded once where the CPU can (llvm.fma would call a slow library function elsewhere)."""
        if not HAS_FMA:
            return self.b.fadd(self.b.fmul(x, y), z)
        return self.b.call(self.declared(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3), [x, y, z])

    def mask(self, columns: Any, v: int) -> Any:
        """Lane l of vector v is on where v*lanes + l < columns."""
        numbers = [v * self.lanes + lane for lane in range(self.lanes)]
        return self.b.icmp_signed("<", ir.Constant(ir.VectorType(I64, self.lanes), numbers), self.splat(columns))

    def load(self, address: Any, v: int = 0, mask: Any = None) -> Any:
        pointer = self.pointer(address, v * self.lanes * self.size)
        if mask is None:
            return self.b.load(pointer, align=self.size, typ=self.vector)
        kinds = [pointer.type, I32, ir.VectorType(I1, self.lanes), self.vector]
        function = self.declared(f"llvm.masked.load.{self.suffix}.p0", self.vector, kinds)
        return self.b.call(function, [pointer, ir.Constant(I32, self.size), mask, self.zero])

    def store(self, value: Any, address: Any, v: int = 0, mask: Any = None) -> None:
        pointer = self.pointer(address, v * self.lanes * self.size)
        if mask is None:
            self.b.store(value, pointer, align=self.size)
            return
        kinds = [self.vector, pointer.type, I32, ir.VectorType(I1, self.lanes)]
        function = self.declared(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), kinds)
        self.b.call(function, [value, pointer, ir.Constant(I32, self.size), mask])

    def declared(self, name: str, result: ir.Type, arguments: list) -> Any:
        """An LLVM intrinsic by name; llvmlite's own declare_intrinsic does not know vectors."""
        module = self.b.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)
