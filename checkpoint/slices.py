"""Which rank writes which part of the state, and in which pieces, as pure arithmetic on boxes of integers.

A Slice is a box of a logical tensor. Replicas hold equal boxes: the lowest rank writes. Strategies that split a
tensor hold different boxes, which must tile it: a hole would be a checkpoint that cannot be loaded, found out at the
worst time, so it is an error before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..core.errors import CheckpointError
from ..core.shape import prod
from ..core.spec import Spec, State

Box = tuple[slice, ...]
PIECE = 16 << 20  # bytes that go at once to a disk, to a hash or to another rank


@dataclass(frozen=True)
class Slice:
    """The box of the logical tensor `name` from `origin` to `origin + shape`; the whole has `global_shape`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    origin: tuple[int, ...]
    global_shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, spec: Spec, array: np.ndarray) -> Slice:
        if tuple(array.shape) != tuple(spec.shape):
            raise CheckpointError(f"{name}: the array is {tuple(array.shape)}, its Spec says {tuple(spec.shape)}")
        return cls(name, str(array.dtype), tuple(spec.shape), tuple(spec.origin), tuple(spec.global_shape))

    @classmethod
    def parse(cls, fields: Sequence[Any]) -> Slice:
        """From the list that json makes of a Slice's fields."""
        name, dtype, *boxes = fields
        return cls(name, dtype, *(tuple(box) for box in boxes))

    def fields(self) -> list[Any]:
        return [self.name, self.dtype, list(self.shape), list(self.origin), list(self.global_shape)]


def overlap(a: Slice | Spec, b: Slice | Spec) -> tuple[Box, Box] | None:
    """The common box of two slices of one tensor, counted from a's origin and from b's; None if they share nothing."""
    start = [max(x, y) for x, y in zip(a.origin, b.origin, strict=True)]
    stop = [min(x + n, y + m) for x, n, y, m in zip(a.origin, a.shape, b.origin, b.shape, strict=True)]
    if any(i >= j for i, j in zip(start, stop, strict=True)):
        return None

    def seen_from(origin: Sequence[int]) -> Box:
        return tuple(slice(i - o, j - o) for i, j, o in zip(start, stop, origin, strict=True))

    return seen_from(a.origin), seen_from(b.origin)


def holdings(state: State) -> list[Slice]:
    """What this rank's State holds."""
    return [Slice.of(name, spec, array) for name, (spec, array) in state.tensors.items()]


def pieces(one: Slice) -> Iterator[Box]:
    """The slice in boxes of at most PIECE bytes, each contiguous, one behind the other in memory; none of nothing."""
    return _cut(one.shape, PIECE // np.dtype(one.dtype).itemsize) if prod(one.shape) else iter(())


def _cut(shape: Sequence[int], most: int) -> Iterator[Box]:
    whole = tuple(slice(0, n) for n in shape)
    if prod(shape) <= most:
        yield whole
    elif (rows := most // prod(shape[1:])) > 0:
        yield from ((slice(i, min(i + rows, shape[0])), *whole[1:]) for i in range(0, shape[0], rows))
    else:
        yield from ((slice(i, i + 1), *box) for i in range(shape[0]) for box in _cut(shape[1:], most))


def owners(held: Sequence[Sequence[Slice]]) -> list[list[Slice]]:
    """For each rank the slices it writes: of equal ones the lowest rank's.   held: the holdings of every rank.

    CheckpointError if the slices of a tensor leave a hole, overlap, or disagree about what the whole is.
    """
    written: dict[str, list[Slice]] = {}
    writes: list[list[Slice]] = [[] for _ in held]
    for rank, slices in enumerate(held):
        for one in slices:
            others = written.setdefault(one.name, [])
            if one not in others:
                others.append(one)
                writes[rank].append(one)
    for name, parts in written.items():
        _tiles(name, parts)
    return writes


def _tiles(name: str, parts: Sequence[Slice]) -> None:
    wholes = sorted({(part.dtype, part.global_shape) for part in parts})
    if len(wholes) > 1:
        raise CheckpointError(f"{name}: the ranks disagree about the whole tensor: {wholes}")
    for a, b in combinations(parts, 2):
        if overlap(a, b):
            raise CheckpointError(f"{name}: slices {a.shape} at {a.origin} and {b.shape} at {b.origin} overlap")
    held, whole = sum(prod(part.shape) for part in parts), prod(parts[0].global_shape)
    if held != whole:
        raise CheckpointError(f"{name}: the ranks hold {held} of {whole} elements of {parts[0].global_shape}")
