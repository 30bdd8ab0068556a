"""One rank's failure is every rank's error, the same words on all of them.

A save that failed on one rank and not on another would leave ranks in different collectives, and the reader of the
job's output with a deadlock instead of "disk full". So each local part of a collective ends in one exchange of
outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..core.errors import CheckpointError, ShoalError
from ..mpi.communicator import Communicator

PATIENCE = 600.0  # seconds


@contextmanager
def patient(communicator: Communicator) -> Iterator[None]:
    """Ranks that wait for another's disk say so after the deadline; they stall if it takes more than PATIENCE."""
    patience = communicator.patience
    communicator.patience = PATIENCE
    try:
        yield
    finally:
        communicator.patience = patience


def together(communicator: Communicator, name: str, act: Callable[[], Any]) -> list[Any]:
    """Runs `act` on every rank; all their answers, in rank order, on every rank.   Answers: what json can hold.

    If it raises on any rank, all ranks raise CheckpointError with the lowest such rank's problem and cure.
    """
    answer, failure, cause = None, None, None
    with patient(communicator):
        try:
            answer = act()
        except Exception as error:
            cause = error
            failure = [error.problem, error.cure] if isinstance(error, ShoalError) else [repr(error), ""]
        outcomes = communicator.allgather_obj([answer, failure], name)
    for rank, (_, failed) in enumerate(outcomes):
        if failed:
            problem, cure = failed
            raise CheckpointError(f"rank {rank}: {problem}" if communicator.size > 1 else problem, cure) from cause
    return [answer for answer, _ in outcomes]


def on_rank_0(communicator: Communicator, name: str, act: Callable[[], Any]) -> Any:
    """`act` on rank 0 alone; its answer or its error on every rank."""
    return together(communicator, name, act if communicator.rank == 0 else lambda: None)[0]
