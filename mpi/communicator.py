"""Communicator: what a strategy may say to other ranks.

A small protocol in MPI's words, so that the same strategy runs on one rank (`Alone`), on ranks as threads (`threads`:
logic tests and teaching) and on mpi4py (`world`). Plain names carry arrays, `_obj` names carry small JSON-like
objects; no pickle crosses a rank boundary. Every call has a `name` for error reports, and every blocking call a
deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..core.trace import Trace
from ..kernels.pool import Pool


@dataclass
class Counters:
    """What this rank has sent and how long it waited: messages, bytes (payload), seconds blocked."""

    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Request(Protocol):
    """A started communication."""

    def test(self) -> bool:
        """Makes progress; True once it is complete. Never blocks."""

    def wait(self) -> None:
        """Blocks until complete; Stalled after the deadline."""


class Communicator(Protocol):
    """rank of size.   deadline: seconds a blocking call may take (infinity during warm-up).   step: for error reports.

    patience: seconds a blocking call goes on at least; past the deadline it says once that it waits, and for whom.

    Collectives are called by all ranks in the same order. Messages between two ranks with one tag do not overtake.
    """

    rank: int
    size: int
    node_rank: int  # this rank among the ranks of its machine
    node_size: int
    deadline: float
    patience: float
    step: int
    counters: Counters
    pool: Pool  # scratch of the sums
    trace: Trace | None  # where its time goes, and that of who works with it

    def isend(self, a: np.ndarray, to: int, tag: int, name: str) -> Request: ...

    def irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> Request: ...

    def send(self, a: np.ndarray, to: int, tag: int, name: str) -> None: ...

    def recv(self, a: np.ndarray, source: int, tag: int, name: str) -> None: ...

    def iallreduce(self, a: np.ndarray, name: str) -> Request:
        """Sum over ranks in place, in rank order (reduction "fixed") or as MPI likes (reduction "mpi")."""

    def allreduce(self, a: np.ndarray, name: str) -> np.ndarray:
        """The blocking form; returns a."""

    def broadcast(self, a: np.ndarray, root: int, name: str) -> np.ndarray: ...

    def barrier(self, name: str) -> None: ...

    def broadcast_obj(self, value: Any, root: int, name: str) -> Any: ...

    def allgather_obj(self, value: Any, name: str) -> list[Any]: ...

    def split(self, color: int, key: int) -> Communicator: ...

    def abort(self, code: int) -> None:
        """Ends the whole world with this exit code."""


Program = Callable[[Communicator], Any]
