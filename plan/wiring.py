"""One pass from a table and a block graph to the programs of all ranks: every send and receive, and the proof that they end.

What an action takes and gives follows from the edges at its part: forward along them, backward against them. What is left to
decide is when a receive is posted. Just before it is needed is too late: in 1F1B two neighbours then send to each other at
once, and neither has posted. So the next messages of every stream are kept posted, as many micro-batches ahead as the edge
spans parts, which is how far 1F1B lets its two ends drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..core.errors import UsageError
from .deadlock import walk
from .graph import Edge, Graph
from .program import Compute, Instruction, Message, Post, Program, Receive, Send
from .schedule import KINDS, Action, Table, check

Place: TypeAlias = Callable[[int, int, int], int]  # (rank, chunk, replica) -> part of the model


@dataclass(frozen=True)
class Wired:
    """Programs that were proven to end; per rank."""

    graph: Graph
    programs: tuple[Program, ...]

    def __str__(self) -> str:
        return "\n".join(f"{rank}  {', '.join(map(str, program))}" for rank, program in enumerate(self.programs))


def looped(ranks: int) -> Place:
    """Chunk c of rank k holds part c*ranks + k: with one chunk, part k."""
    return lambda rank, chunk, replica: chunk * ranks + rank


def wire(table: Table, graph: Graph, ahead: int = 1, place: Place | None = None) -> Wired:
    """Derives all communication of a table.

    ahead: how many messages of a stream are posted before they are needed, for each part that the edge spans.
    place: which part a chunk of a rank holds; `looped` by default.
    UsageError for a table that breaks the laws of schedule.check, for parts without a rank or with two, for what is sent and
    never taken or taken and never sent, and for a deadlock, with the cycle in words.
    """
    check(table)
    place = place or looped(len(table))
    home = _homes(table, graph, place)
    computes = [
        [_compute(action, place(rank, action.chunk, action.replica), graph, home) for action in actions]
        for rank, actions in enumerate(table)
    ]
    _matched(computes)
    wired = Wired(graph, tuple(_program(rank, mine, ahead) for rank, mine in enumerate(computes)))
    for _ in walk(wired.programs):
        pass
    return wired


def _homes(table: Table, graph: Graph, place: Place) -> dict[tuple[int, int], int]:
    """(part, replica) -> the rank that holds it."""
    held = {
        (place(rank, action.chunk, action.replica), action.replica, rank)
        for rank, row in enumerate(table)
        for action in row
    }
    home = {(part, replica): rank for part, replica, rank in held}
    if len(home) < len(held):
        raise UsageError("two ranks hold the same part of one replica", "let `place` give every part to one rank")
    wanted = {(part, replica) for part in range(graph.parts) for _, replica in home}
    if home.keys() != wanted:
        lacking, unknown = sorted(wanted - home.keys()), sorted(home.keys() - wanted)
        raise UsageError(
            f"{graph.parts} parts and {len(table)} ranks: of (part, replica), no rank holds {lacking}, and there is no {unknown}",
            "cut the model into as many parts as the table has ranks and chunks",
        )
    return home


def _compute(action: Action, part: int, graph: Graph, home: dict[tuple[int, int], int]) -> Compute:
    direction = KINDS[action.kind].direction
    if direction is None:
        return Compute(action, part)

    def message(number: int, edge: Edge) -> Message:
        ends = home[edge.source, action.replica], home[edge.target, action.replica]
        source, target = ends if direction == "forward" else ends[::-1]
        tag = 2 * (action.replica * len(graph.edges) + number) + (direction == "backward")
        return Message(edge, direction, action.micro_batch, action.replica, source, target, tag)

    into = tuple(message(number, edge) for number, edge in enumerate(graph.edges) if edge.target == part)
    out_of = tuple(message(number, edge) for number, edge in enumerate(graph.edges) if edge.source == part)
    return Compute(action, part, into, out_of) if direction == "forward" else Compute(action, part, out_of, into)


def _matched(computes: Sequence[Sequence[Compute]]) -> None:
    """Everything given is taken, once, and the other way round."""
    given = {message for mine in computes for compute in mine for message in compute.gives}
    taken = {message for mine in computes for compute in mine for message in compute.takes}
    for wrong, what in ((given - taken, "given and never taken"), (taken - given, "taken and never given")):
        if wrong:
            raise UsageError(
                f"{', '.join(sorted(map(str, wrong)))}: {what}",
                "every part must work on the same micro-batches, in the same directions",
            )


def _program(rank: int, computes: Sequence[Compute], ahead: int) -> Program:
    """One rank's instructions: receives are posted `ahead` of their turn, then awaited, and what is computed is sent."""
    streams: dict[tuple[int, int, int], list[Message]] = {}
    for compute in computes:
        for message in compute.takes:
            if message.source != rank:
                streams.setdefault(message.stream, []).append(message)
    program: list[Instruction] = []
    posted = dict.fromkeys(streams, 0)

    def post(stream: tuple[int, int, int], until: int) -> None:
        program.extend(Post(message) for message in streams[stream][posted[stream] : until])
        posted[stream] = max(posted[stream], until)

    for stream, messages in streams.items():
        post(stream, ahead * messages[0].edge.span)
    received = dict.fromkeys(streams, 0)
    for compute in computes:
        incoming = [message for message in compute.takes if message.source != rank]
        for message in incoming:
            received[message.stream] += 1
            post(message.stream, received[message.stream] + ahead * message.edge.span)
        program.extend(Receive(message) for message in incoming)
        program.append(compute)
        program.extend(Send(message) for message in compute.gives if message.target != rank)
    return tuple(program)
