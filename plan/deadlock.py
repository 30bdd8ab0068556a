"""The proof that programs of ranks come to their end: they are walked through once, with sends that may block.

A send is held to block until its receive is posted: MPI promises no more, large messages do behave like that, and what ends
under this rule ends under every kinder one. A post never blocks, a receive waits until its message is sent. No instruction
can undo what another waits for, and a rank has only one way to go; so all orders in which ranks may run come equally far,
and one walk stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core.errors import UsageError
from .program import Compute, Instruction, Message, Post, Program, Receive, Send


def walk(programs: Sequence[Program]) -> Iterator[tuple[int, Instruction]]:
    """(rank, instruction) in an order in which all can happen; UsageError with the cycle where ranks wait for each other."""
    at = [0] * len(programs)
    posted: set[Message] = set()
    there: set[Message] = set()  # sent, or given on the rank where they are taken
    moved = True
    while moved:
        moved = False
        for rank, program in enumerate(programs):
            while at[rank] < len(program) and waits_for(instruction := program[at[rank]], posted, there) is None:
                match instruction:
                    case Post(message):
                        posted.add(message)
                    case Send(message):
                        there.add(message)
                    case Compute(gives=gives):
                        there.update(m for m in gives if m.source == m.target)
                yield rank, instruction
                at[rank] += 1
                moved = True
    stuck = {rank: program[at[rank]] for rank, program in enumerate(programs) if at[rank] < len(program)}
    if stuck:
        raise _deadlock({rank: (one, waits_for(one, posted, there)) for rank, one in stuck.items()})


def waits_for(instruction: Instruction, posted: set[Message], there: set[Message]) -> Message | None:
    """The message that keeps an instruction from happening, if one does."""
    match instruction:
        case Send(message):
            return None if message in posted else message
        case Receive(message):
            return None if message in there else message
        case Compute(takes=takes):
            return next((message for message in takes if message not in there), None)
    return None


def _deadlock(stuck: dict[int, tuple[Instruction, Message | None]]) -> UsageError:
    """The cycle in words: every stuck rank waits for one other, so following them comes round."""
    path: list[int] = []
    lines: list[str] = []
    rank = min(stuck)
    while rank in stuck and rank not in path:
        instruction, message = stuck[rank]
        assert message is not None  # or the rank would not be stuck
        sending = isinstance(instruction, Send)
        peer = message.target if sending else message.source
        what = "posted" if sending else "given" if peer == rank else "sent"
        path.append(rank)
        lines.append(f'rank {rank} stands at "{instruction}" until rank {peer} has {what} {message}')
        rank = peer
    start = path.index(rank) if rank in path else 0
    return UsageError(
        "the schedule deadlocks:\n  " + "\n  ".join(lines[start:]),
        "post receives earlier (a larger `ahead`), or change the order of the actions",
    )
