"""Operation: a started communication that can say what it is and whom it waits for.

Everything that may wait is one of these, so that polling, deadlines and reports are written once. A collective is a
generator of stages: it yields the operations it started, and goes on when all of them are complete; the generator's
local variables are the state that a hand-written state machine would keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.trace import NOTHING, Span, span


class Operation:
    """kind: "allreduce", "recv", ...   name: the caller's word for it.   owner: the communicator it belongs to."""

    def __init__(self, owner: Any, kind: str, name: str):
        self.owner, self.kind, self.name = owner, kind, name

    def advance(self) -> bool:
        """Makes progress; True once complete. Never blocks."""
        raise NotImplementedError

    def peers(self) -> set[int]:
        """The ranks of the owner's communicator that it still waits for; empty where only the library knows."""
        raise NotImplementedError

    def test(self) -> bool:
        self.owner.progress()
        return self.advance()

    def wait(self) -> None:
        self.owner.wait(self)


class Staged(Operation):
    """Stages one after the other; each starts some operations, the next begins when all of them are complete.

    Every wait and test of the rank moves it on, as MPI promises of its own collectives: a rank that waits for one thing
    may be what another rank waits for.   scratch: what the stages work on, kept as long as the operation is held.
    size: bytes of the array, for a trace.
    """

    def __init__(
        self, owner: Any, kind: str, name: str, stages: Iterator[list[Operation]], scratch: Any = None, size: int = 0
    ):
        super().__init__(owner, kind, name)
        self.span = span(owner.trace, "communication", kind, name, stream="communication", bytes=size).start()
        self.scratch = scratch
        self.stages = stages
        self.pending = next(stages, [])
        self.complete = False
        owner.watch.under_way.append(self)

    def advance(self) -> bool:
        while not self.complete:
            self.pending = [operation for operation in self.pending if not operation.advance()]
            if self.pending:
                return False
            try:
                self.pending = next(self.stages)
            except StopIteration:
                self.complete = True
                self.span.stop()
                self.owner.watch.under_way.remove(self)
        return True

    def peers(self) -> set[int]:
        return set().union(*(operation.peers() for operation in self.pending))


class Traced(Operation):
    """An operation in a trace: from its start until its rank has seen that it is complete."""

    def __init__(self, inner: Operation, span: Span):
        super().__init__(inner.owner, inner.kind, inner.name)
        self.inner, self.span = inner, span

    def advance(self) -> bool:
        complete = self.inner.advance()
        if complete:
            self.span.stop()
        return complete

    def peers(self) -> set[int]:
        return self.inner.peers()


def traced(operation: Operation, span: Span) -> Operation:
    return operation if span is NOTHING else Traced(operation, span)


class Done:
    """The request of something that needed no communication."""

    def test(self) -> bool:
        return True

    def wait(self) -> None:
        pass
