"""The block graph after a cut: which tensors go from which part of the model to which.

A model is a list of blocks, so its parts form a chain. What is stashed in one part and popped in another is an edge of
its own, straight from the part that made it: the parts in between neither receive nor store it. Where both ends lie in one
part there is no edge.

    parts   0 ----> 1 ----> 2          x       the chain, between neighbours
            '---------------^          skip    a stash key, made in part 0 and popped in part 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..core.errors import UsageError

CHAIN = "x"  # the name of what one part hands to the next


@dataclass(frozen=True)
class Skip:
    """A tensor put by under `name` in block `made` and taken in block `popped`."""

    name: str
    made: int
    popped: int


@dataclass(frozen=True)
class Edge:
    """One tensor of every micro-batch: from part `source` to part `target` forward, its gradient the other way."""

    name: str
    source: int
    target: int

    @property
    def span(self) -> int:
        return self.target - self.source

    def __str__(self) -> str:
        return f"{self.name} {self.source}>{self.target}"


@dataclass(frozen=True)
class Graph:
    """Edges in the order in which a part sends along them: the chain first, then from the nearest target to the farthest."""

    parts: int
    edges: tuple[Edge, ...]


def graph(bounds: Sequence[tuple[int, int]], skips: Sequence[Skip] = ()) -> Graph:
    """The graph of a model cut into [start, stop) ranges of blocks.

    UsageError for bounds that leave out or repeat a block, and for a skip that is not made before it is popped.
    """
    _tiling(bounds)
    names = [skip.name for skip in skips]
    if twice := {name for name in names if names.count(name) > 1 or name == CHAIN}:
        raise UsageError(f"skips {sorted(twice)} need other names", f'give every skip its own, and none "{CHAIN}"')
    chain = [Edge(CHAIN, part, part + 1) for part in range(len(bounds) - 1)]
    edges = [Edge(skip.name, *_parts(bounds, skip)) for skip in skips]
    longer = sorted((edge for edge in edges if edge.span), key=lambda edge: (edge.span, edge.source, edge.name))
    return Graph(len(bounds), (*chain, *longer))


def _tiling(bounds: Sequence[tuple[int, int]]) -> None:
    empty = [bound for bound in bounds if bound[0] >= bound[1]]
    if not bounds or empty or bounds[0][0] != 0 or any(a[1] != b[0] for a, b in pairwise(bounds)):
        raise UsageError(
            f"bounds {list(bounds)} must be ranges of blocks, one after the other from 0, none of them empty"
        )


def _parts(bounds: Sequence[tuple[int, int]], skip: Skip) -> tuple[int, int]:
    blocks = bounds[-1][1]
    if not 0 <= skip.made < skip.popped < blocks:
        raise UsageError(
            f'skip "{skip.name}" is made in block {skip.made} and popped in block {skip.popped} of {blocks}',
            "a skip is popped in a later block of the same list",
        )
    made, popped = (
        next(part for part, (start, stop) in enumerate(bounds) if start <= block < stop)
        for block in (skip.made, skip.popped)
    )
    return made, popped
