"""Joining and parting over the last axis."""

from __future__ import annotations

from typing import Any

from ..op import Like, op
from .rule import need


@op(flops=lambda *parts: 0)
def concat(*parts: Any) -> tuple[Like, ...]:
    """The parts side by side over the last axis: (..., C1), (..., C2), ... -> (..., C1 + C2 + ...)."""
    first = parts[0]
    need(all(p.shape[:-1] == first.shape[:-1] for p in parts), lambda: f"concat: {[p.shape for p in parts]} differ before the last axis")
    return (Like((*first.shape[:-1], sum(p.shape[-1] for p in parts)), first.dtype),)


@op(flops=lambda x, sizes: 0)
def split(x: Any, sizes: tuple[int, ...]) -> tuple[Like, ...]:
    """The inverse of concat: (..., C) -> (..., C1), (..., C2), ... with C1 + C2 + ... = C."""
    need(sum(sizes) == x.shape[-1], lambda: f"split: x {x.shape} into {sizes}, which add up to {sum(sizes)}")
    return tuple(Like((*x.shape[:-1], size), x.dtype) for size in sizes)
