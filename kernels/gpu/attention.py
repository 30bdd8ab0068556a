"""Attention as two products with a softmax between them; heads are read where they lie, inside of qkv's rows."""

from __future__ import annotations

from math import sqrt
from typing import Any

from .gemm import Operand, multiply
from .launch import Source
from .memory import scratch
from .reduction import rows_by

_kernels = Source("attention.cu")


class Heads:
    """Sizes of an attention and where its operands are: parts of qkv, y, and the (T, T) matrices of p."""

    def __init__(self, qkv: Any, heads: int):
        self.n, self.steps, width = qkv.shape
        self.heads, self.size = heads, width // 3 // heads
        self.of_qkv = Operand(width, self.steps * width, self.size)
        self.of_y = Operand(width // 3, self.steps * width // 3, self.size)
        self.of_p = Operand(self.steps, heads * self.steps**2, self.steps**2)
        self.factor = 1 / sqrt(self.size)

    def part(self, qkv: Any, index: int) -> Any:
        """Queries (0), keys (1) or values (2): qkv from their first number on."""
        return qkv.reshape(-1)[index * self.heads * self.size :]

    def scores(self, a: Any, of_a: Operand, b: Any, out: Any) -> None:
        """out[t,s] = a[t] . b[s] in every head; b is a part of qkv."""
        where: dict[str, Any] = {"of_a": of_a, "of_b": self.of_qkv, "of_c": self.of_p}
        multiply(a, b, out, self.steps, self.steps, self.size, groups=(self.n, self.heads), trans_b=True, **where)

    def mixed(self, p: Any, b: Any, of_b: Operand, out: Any, of_out: Operand, trans_a: bool = False) -> None:
        """out[t] = sum_s p[t,s] b[s], or by p's transpose."""
        where: dict[str, Any] = {"of_a": self.of_p, "of_b": of_b, "of_c": of_out}
        multiply(p, b, out, self.steps, self.size, self.steps, groups=(self.n, self.heads), trans_a=trans_a, **where)


def attention(qkv: Any, *, heads: int, out: Any, pool: Any = None, causal: bool = False, mask: Any = None) -> None:
    """p = softmax(q k' / sqrt(D)),   y = p v"""
    y, p = out
    h = Heads(qkv, heads)
    h.scores(qkv, h.of_qkv, h.part(qkv, 1), p)
    rows = h.n * heads * h.steps
    grid, block, whole = rows_by(h.steps, rows)
    given = scratch(None, qkv, (0,), bool) if mask is None else mask
    numbers = rows, h.steps, heads, h.factor, causal, mask is not None, whole
    _kernels.launch("attention_softmax", grid, block, p, given, *numbers)
    h.mixed(p, h.part(qkv, 2), h.of_qkv, y, h.of_y)


def attention_dx(dy: Any, qkv: Any, p: Any, *, heads: int, out: Any, pool: Any = None) -> None:
    """Gradient by qkv."""
    h = Heads(qkv, heads)
    ds = scratch(pool, p, p.shape, p.dtype)
    h.scores(dy, h.of_y, h.part(qkv, 2), ds)
    rows = h.n * heads * h.steps
    grid, block, whole = rows_by(h.steps, rows)
    _kernels.launch("attention_softmax_dx", grid, block, p, ds, rows, h.steps, h.factor, whole)
    h.mixed(ds, h.part(qkv, 1), h.of_qkv, h.part(out, 0), h.of_qkv)
    h.mixed(ds, h.part(qkv, 0), h.of_qkv, h.part(out, 1), h.of_qkv, trans_a=True)
    h.mixed(p, dy, h.of_y, h.part(out, 2), h.of_qkv, trans_a=True)
