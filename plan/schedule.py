"""A schedule is a table: for every rank the list of its actions, in order.

Only computation stands in it. What must be sent follows from the table and from who holds what (wiring.py), so a schedule
is one pure function of the pipeline's shape, to be read and tested as the table it returns. The three synchronous ones
differ in one number: how many forwards a rank runs ahead before it alternates.

    gpipe                                  1f1b                                   naive
    0  F0 F1 F2 F3 B0 B1 B2 B3 U3          0  F0 F1 F2 B0 F3 B1 B2 B3 U3          0  F0 B0 F1 B1 F2 B2 F3 B3 U3
    1  F0 F1 F2 F3 B0 B1 B2 B3 U3          1  F0 F1 B0 F2 B1 F3 B2 B3 U3          1  F0 B0 F1 B1 F2 B2 F3 B3 U3
    2  F0 F1 F2 F3 B0 B1 B2 B3 U3          2  F0 B0 F1 B1 F2 B2 F3 B3 U3          2  F0 B0 F1 B1 F2 B2 F3 B3 U3

Micro-batches of one kind go in ascending order everywhere: sums of gradients have one order, and the messages of one
edge are a stream that both of its ends count in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core.errors import UsageError

Direction: TypeAlias = Literal["forward", "backward"]


@dataclass(frozen=True)
class Kind:
    """letter: in print.   direction: of the tensors it takes and gives, None for none.   live: activation sets it keeps or frees."""

    letter: str
    direction: Direction | None
    live: int = 0


KINDS = {
    "forward": Kind("F", "forward", +1),
    "backward": Kind("B", "backward", -1),
    "update": Kind("U", None),
    "inference": Kind("I", "forward"),  # a forward that no backward follows
}


@dataclass(frozen=True)
class Action:
    """One thing a rank computes.

    chunk: which of the parts this rank holds.   replica: which copy of the model.   An update holds the gradients of the
    micro-batches up to its own. Prints as F3, or F3.1 (chunk 1), or F3' (replica 1).
    """

    kind: str
    micro_batch: int
    chunk: int = 0
    replica: int = 0

    def __str__(self) -> str:
        chunk = f".{self.chunk}" if self.chunk else ""
        return f"{KINDS[self.kind].letter}{self.micro_batch}{chunk}" + "'" * self.replica


Table: TypeAlias = list[list[Action]]  # per rank


@dataclass(frozen=True)
class PipelineShape:
    """p stages (ranks), m micro-batches, and into how many chunks each rank's share of the model is cut."""

    stages: int
    micro_batches: int
    chunks: int = 1

    def __post_init__(self) -> None:
        if min(self.stages, self.micro_batches, self.chunks) < 1:
            raise UsageError(f"{self}: each of these must be at least 1")


def naive(shape: PipelineShape) -> Table:
    """One micro-batch in the pipeline at a time: one rank computes, the others wait.

    bubble = (p - 1)/p      live activations = 1
    """
    return _one_chunk(shape, lambda rank: 0)


def gpipe(shape: PipelineShape) -> Table:
    """All forwards, then all backwards, then one update.

    bubble = (p - 1)/(m + p - 1)      live activations = m
    After Huang et al. 2018, GPipe (arXiv 1811.06965).
    """
    return _one_chunk(shape, lambda rank: shape.micro_batches)


def one_f_one_b(shape: PipelineShape) -> Table:
    """Rank k runs p - k - 1 forwards ahead, then one forward and one backward in turn; flush, update.

    bubble = (p - 1)/(m + p - 1)      live activations = min(m, p - k)
    After Narayanan et al. 2021, PipeDream-Flush in Memory-Efficient Pipeline-Parallel DNN Training (arXiv 2006.09503).
    """
    return _one_chunk(shape, lambda rank: shape.stages - rank - 1)


def inference(shape: PipelineShape) -> Table:
    """Forwards only, for evaluation and prediction; nothing is kept for a backward.

    With chunks, p micro-batches at a time go through them all: by then the first comes back from the last rank.
    """
    p, m = shape.stages, shape.micro_batches
    groups = [range(start, min(start + p, m)) for start in range(0, m, p)]
    row = [Action("inference", i, c) for group in groups for c in range(shape.chunks) for i in group]
    return [list(row) for _ in range(p)]


SCHEDULES: dict[str, Callable[[PipelineShape], Table]] = {"naive": naive, "gpipe": gpipe, "1f1b": one_f_one_b}


def table(name: str, shape: PipelineShape) -> Table:
    """The table of a schedule by name; UsageError for a name that is not known."""
    if name not in SCHEDULES:
        raise UsageError(f'there is no schedule "{name}"', f"the schedules are {', '.join(SCHEDULES)}")
    return SCHEDULES[name](shape)


def _one_chunk(shape: PipelineShape, ahead: Callable[[int], int]) -> Table:
    """Per rank: `ahead` forwards, then a forward and a backward in turn, then the backwards that are left."""
    if shape.chunks != 1:
        raise UsageError(f"this schedule runs one chunk on each rank, not {shape.chunks}", "use chunks = 1")
    m = shape.micro_batches
    rows = []
    for rank in range(shape.stages):
        first = min(m, ahead(rank))
        row = [Action("forward", i) for i in range(first)]
        for i in range(m):
            if first + i < m:
                row.append(Action("forward", first + i))
            row.append(Action("backward", i))
        rows.append([*row, Action("update", m - 1)])
    return rows


def peak_live(actions: Sequence[Action]) -> int:
    """The most micro-batches whose activations one rank keeps at once."""
    live = most = 0
    for action in actions:
        live += KINDS[action.kind].live
        most = max(most, live)
    return most


def check(table: Table) -> None:
    """UsageError unless micro-batches of a kind ascend and every backward follows its forward."""
    for rank, actions in enumerate(table):
        last: dict[tuple[str, int, int], int] = {}
        kept: set[tuple[int, int, int]] = set()
        for action in actions:
            kind, stream = KINDS[action.kind], (action.kind, action.chunk, action.replica)
            if action.micro_batch <= last.get(stream, -1):
                raise UsageError(
                    f"rank {rank}: {action} comes after {action.kind} {last[stream]}",
                    "let the micro-batches of a kind ascend, so that sums of gradients have one order",
                )
            last[stream] = action.micro_batch
            one = (action.micro_batch, action.chunk, action.replica)
            if kind.live > 0:
                kept.add(one)
            if kind.direction == "backward" and one not in kept:
                raise UsageError(
                    f"rank {rank}: {action} has no forward before it", "put its forward earlier in the table"
                )
            if kind.live < 0:
                kept.discard(one)


def text(table: Table) -> str:
    """One line a rank: "0  F0 F1 B0 B1 U1"."""
    width = len(str(len(table) - 1))
    return "\n".join(f"{rank:>{width}}  {' '.join(map(str, actions))}" for rank, actions in enumerate(table))
