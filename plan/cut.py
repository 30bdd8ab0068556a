"""Where to cut a list of blocks into stages: the cut whose heaviest stage is lightest, found exactly.

The caller says what a block weighs: 1 to cut by count, its parameters, its flops, its measured seconds. A dynamic programme
over (stages used, blocks used) tries every contiguous cut once. It runs twice: the first pass finds how light the heaviest
stage can be; the second, among the cuts that reach it, the one whose other stages are most even.

    best(k, j) = min over i < j of  join( best(k-1, i), weight(stage k-1 = blocks i..j-1) )      join: max, then +
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf
from operator import add

from ..core.errors import UsageError

Bounds = tuple[tuple[int, int], ...]  # [start, stop) of each stage's blocks
Weigh = Callable[[int, int, int], float]  # (stage, start, stop) -> weight; inf where that is not allowed


@dataclass(frozen=True)
class Cut:
    """bounds: [start, stop) of the blocks of each stage.   loads: the sum of their costs."""

    bounds: Bounds
    loads: tuple[float, ...]

    @property
    def balance(self) -> float:
        """The heaviest stage over the mean one: 1 is even, p is one stage doing all."""
        return max(self.loads) * len(self.loads) / sum(self.loads) if sum(self.loads) else 1.0

    def __str__(self) -> str:
        stages = zip(self.bounds, self.loads, strict=True)
        said = (f"{k}: blocks {start}..{stop - 1} ({load:g})" for k, ((start, stop), load) in enumerate(stages))
        return f"{', '.join(said)}; heaviest/mean {self.balance:.2f}"


@dataclass(frozen=True)
class Memory:
    """What a stage needs: sum of `fixed` + in_flight[stage] * sum of `live`, at most limit[stage] bytes.

    fixed: bytes of each block that are always there.   live: bytes of each block that a micro-batch in flight keeps.
    in_flight: of each stage, schedule.peak_live of its rank.   limit: of each stage.
    """

    fixed: Sequence[float]
    live: Sequence[float]
    in_flight: Sequence[int]
    limit: Sequence[float]

    def need(self, stage: int, start: int, stop: int) -> float:
        return sum(self.fixed[start:stop]) + self.in_flight[stage] * sum(self.live[start:stop])


def cut(costs: Sequence[float], stages: int, memory: Memory | None = None) -> Cut:
    """Cuts blocks of these costs into contiguous stages, none of them empty.

    UsageError where there are more stages than blocks, costs are negative or not numbers, or no cut fits into memory.
    """
    _possible(costs, stages, memory)
    sums = list(accumulate(costs, initial=0.0))

    def load(stage: int, start: int, stop: int) -> float:
        fits = memory is None or memory.need(stage, start, stop) <= memory.limit[stage]
        return sums[stop] - sums[start] if fits else inf

    heaviest, _ = _divide(len(costs), stages, load, max)
    if heaviest == inf:
        assert memory is not None  # costs are finite
        raise _too_small(len(costs), stages, memory)

    def square(stage: int, start: int, stop: int) -> float:
        weight = load(stage, start, stop)
        return weight**2 if weight <= heaviest else inf

    _, bounds = _divide(len(costs), stages, square, add)
    return Cut(bounds, tuple(sum(costs[start:stop]) for start, stop in bounds))


def _possible(costs: Sequence[float], stages: int, memory: Memory | None) -> None:
    if not 1 <= stages <= len(costs):
        raise UsageError(f"{stages} stages of {len(costs)} blocks: none may be empty", f"use 1 to {len(costs)} stages")
    if wrong := [(i, cost) for i, cost in enumerate(costs) if not 0 <= cost < inf]:
        raise UsageError(f"block {wrong[0][0]} costs {wrong[0][1]}", "costs are finite numbers, not negative")
    if memory:
        rows = (memory.fixed, len(costs)), (memory.live, len(costs)), (memory.in_flight, stages), (memory.limit, stages)
        if any(len(row) != length for row, length in rows):
            given = ", ".join(str(len(row)) for row, _ in rows)
            raise UsageError(
                f"memory: {given} entries (fixed, live, in_flight, limit) for {len(costs)} blocks, {stages} stages"
            )
        if min(memory.limit) <= 0:
            raise UsageError(f"memory: limits {list(memory.limit)} must be above 0")


def _divide(blocks: int, stages: int, weigh: Weigh, join: Callable[[float, float], float]) -> tuple[float, Bounds]:
    """(least joined weight, the cut that has it), by the recurrence above; of equal ones the earliest cuts."""
    best = [0.0] + [inf] * blocks  # of the first j blocks in the stages so far
    chosen: list[list[int]] = []
    for stage in range(stages):
        row, last = [inf] * (blocks + 1), [stage] * (blocks + 1)
        for stop in range(stage + 1, blocks - (stages - stage - 1) + 1):
            for start in range(stage, stop):
                if best[start] < inf and (weight := join(best[start], weigh(stage, start, stop))) < row[stop]:
                    row[stop], last[stop] = weight, start
        best = row
        chosen.append(last)
    ends = [blocks]
    for last in reversed(chosen):
        ends.append(last[ends[-1]])
    return best[blocks], tuple(pairwise(reversed(ends)))


def _too_small(blocks: int, stages: int, memory: Memory) -> UsageError:
    """Shows the cut that comes nearest, where its fullest stage lies, and what is missing there."""

    def fill(stage: int, start: int, stop: int) -> float:
        return memory.need(stage, start, stop) / memory.limit[stage]

    _, bounds = _divide(blocks, stages, fill, max)
    stage = max(range(stages), key=lambda k: fill(k, *bounds[k]))
    start, stop = bounds[stage]
    return UsageError(
        f"no cut of {blocks} blocks into {stages} stages fits into memory: in the one that comes nearest, {list(bounds)}, "
        f"stage {stage} needs {memory.need(stage, start, stop):,.0f} bytes with {memory.in_flight[stage]} micro-batches in "
        f"flight, and has {memory.limit[stage]:,.0f}",
        "use more stages, smaller micro-batches, recomputation, or a schedule that keeps fewer of them in flight",
    )
