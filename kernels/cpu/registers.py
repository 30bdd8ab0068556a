"""Moving numbers by registers: what the tile needs copied or transposed, at the speed of loads and stores.

A square of numbers is transposed without leaving the registers. Halves of 16 bytes and more change places first, which
the loads can do on their way; within 16 bytes rows are shuffled like cards, the first half into the second, which takes
every second row to where it belongs and costs one cheap instruction a row and round.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import I64, Vectors


@intrinsic(prefer_literal=True)
def stack(typing: Any, like: Any, nbytes: Any) -> Any:
    """A pointer to numbers of the type of `like`: nbytes, a literal, on the stack of the function that calls, aligned to 64.

    For all calls of one place it is the same memory, and what it held may be lost with every call of the function.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():  # Numba's own alloca_once would also store zeros, number by number
            room = builder.alloca(ir.ArrayType(ir.IntType(8), nbytes.literal_value))
        room.align = 64
        return builder.bitcast(room, context.get_value_type(signature.return_type))

    return types.CPointer(types.unliteral(like))(like, nbytes), emit


@intrinsic(prefer_literal=True)
def copy_vectors(
    typing: Any,
    src: Any,
    i: Any,
    src_step: Any,
    dst: Any,
    j: Any,
    dst_step: Any,
    rows: Any,
    vectors: Any,
    width: Any,
) -> Any:
    """dst[j + m*dst_step + l] = src[i + m*src_step + l] for m < rows and the lanes l of some registers."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, src.dtype, width.literal_value)
        sides = (src, *args[:3]), (dst, *args[3:6])
        first = [_address(context, e, kind, array, at) for kind, array, at, _ in sides]
        steps = [builder.mul(step, e.integer(e.size)) for *_, step in sides]
        before = builder.block
        head, body, end = (builder.append_basic_block(name) for name in ("rows", "row", "rows.end"))
        builder.branch(head)
        builder.position_at_end(head)
        left, *at = (e.phi(I64, (value, before)) for value in (args[6], *first))
        builder.cbranch(builder.icmp_signed(">", left, e.integer(0)), body, end)
        builder.position_at_end(body)
        for v in range(vectors.literal_value):
            e.store(e.load(at[0], v), at[1], v)
        for phi, step in zip((left, *at), (e.integer(-1), *steps), strict=True):
            phi.add_incoming(builder.add(phi, step), body)
        builder.branch(head)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(src, *[types.int64] * 2, dst, *[types.int64] * 3, vectors, width), emit


@intrinsic(prefer_literal=True)
def transpose_square(
    typing: Any, src: Any, i: Any, src_step: Any, dst: Any, j: Any, dst_step: Any, accumulate: Any, width: Any
) -> Any:
    """dst[j + m*dst_step + l] = src[i + l*src_step + m] for the lanes l and m of a register; or adds."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e = Vectors(builder, src.dtype, width.literal_value)
        at, step = _address(context, e, src, args[0], args[1]), builder.mul(args[2], e.integer(e.size))
        rows = transposed(e, [e.load(builder.add(at, builder.mul(step, e.integer(m)))) for m in range(e.lanes)])
        at, step = _address(context, e, dst, args[3], args[4]), builder.mul(args[5], e.integer(e.size))
        places = [builder.add(at, builder.mul(step, e.integer(m))) for m in range(e.lanes)]
        with builder.if_else(args[6]) as (adds, writes):
            with adds:
                for row, place in zip(rows, places, strict=True):
                    e.store(builder.fadd(e.load(place), row), place)
            with writes:
                for row, place in zip(rows, places, strict=True):
                    e.store(row, place)
        return context.get_dummy_value()

    return types.void(src, *[types.int64] * 2, dst, *[types.int64] * 2, types.boolean, width), emit


def transposed(e: Vectors, rows: list) -> list:
    """The columns of a square of registers."""
    near = 16 // e.size  # lanes of 16 bytes: within them a shuffle is cheap
    distance = e.lanes // 2
    while distance >= near:
        rows = _swap(e, rows, distance)
        distance //= 2
    for first in range(0, e.lanes, near):
        rows[first : first + near] = _riffle(e, rows[first : first + near])
    return rows


def _swap(e: Vectors, rows: list, d: int) -> list:
    """Exchanges the off-diagonal squares of side d in every square of side 2d."""
    new = list(rows)
    for m in range(e.lanes):
        if not m & d:
            x, y = rows[m], rows[m + d]
            new[m] = e.shuffle(x, y, [e.lanes + lane - d if lane & d else lane for lane in range(e.lanes)])
            new[m + d] = e.shuffle(x, y, [e.lanes + lane if lane & d else lane + d for lane in range(e.lanes)])
    return new


def _riffle(e: Vectors, rows: list) -> list:
    """Transposes each square of len(rows) lanes: the halves of the rows are dealt alternately, as often as halves can be."""
    n = len(rows)
    for _ in range(n.bit_length() - 1):
        dealt = []
        for x, y in zip(rows[: n // 2], rows[n // 2 :], strict=True):
            for half in (0, n // 2):
                picks = [(first + half + lane // 2, lane % 2) for first in range(0, e.lanes, n) for lane in range(n)]
                dealt.append(e.shuffle(x, y, [lane + side * e.lanes for lane, side in picks]))
        rows = dealt
    return rows


def _address(context: Any, e: Vectors, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, e.b, array).data
    return e.b.add(e.b.ptrtoint(data, index.type), e.b.mul(index, e.integer(e.size)))
