"""Runs programs in any order that their rules allow: a second, independent reading of what instructions mean.

Tensors are the story of how they came to be: ("F", part, micro-batch, what it was made from), so that two computations are
equal if and only if every part was given the right tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shoal.plan.graph import Graph
from shoal.plan.program import Compute, Post, Program, Receive, Send


def run(programs: Sequence[Program], choose: Callable[[list[int]], int]) -> dict[tuple, Any]:
    """{(kind, part, micro-batch, replica): story} of all that was computed; AssertionError where nobody can go on.

    A send waits until its receive is posted, a receive until it was sent. choose: which of the ranks that can go, goes.
    """
    at = [0] * len(programs)
    box: list[dict] = [{} for _ in programs]  # what a rank has been given and not yet taken or sent
    posted, wire, made = set(), {}, {}

    def able(rank: int) -> bool:
        if at[rank] == len(programs[rank]):
            return False
        match programs[rank][at[rank]]:
            case Send(message):
                return message in posted
            case Receive(message):
                return message in wire
        return True

    while ready := [rank for rank in range(len(programs)) if able(rank)]:
        rank = choose(ready)
        match programs[rank][at[rank]]:
            case Post(message):
                assert message.target == rank and message not in posted
                posted.add(message)
            case Send(message):
                assert message.source == rank
                wire[message] = box[rank].pop(message)
            case Receive(message):
                assert message.target == rank and message in posted
                box[rank][message] = wire.pop(message)
            case Compute(action, part, takes, gives):
                inputs = sorted((str(m.edge), box[rank].pop(m)) for m in takes)
                story = (action.kind, part, action.micro_batch, tuple(inputs))
                made[action.kind, part, action.micro_batch, action.replica] = story
                box[rank] |= dict.fromkeys(gives, story)
        at[rank] += 1
    assert at == [len(program) for program in programs], "nobody can go on"
    assert not wire and not any(box), "something was given or sent and never taken"
    return made


def serial(graph: Graph, micro_batches: int, kinds: Sequence[str] = ("forward", "backward")) -> dict[tuple, Any]:
    """The same stories, told by one rank that does one micro-batch after the other."""
    made: dict[tuple, Any] = {}
    for i in range(micro_batches):
        for kind in kinds:
            along = kind != "backward"
            for part in range(graph.parts) if along else reversed(range(graph.parts)):
                ends = [
                    (e, e.source if along else e.target)
                    for e in graph.edges
                    if part == (e.target if along else e.source)
                ]
                inputs = sorted((str(e), made[kind, other, i, 0]) for e, other in ends)
                made[kind, part, i, 0] = (kind, part, i, tuple(inputs))
    return made
