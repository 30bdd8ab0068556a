"""Alone: a communicator of one rank, so that one process is no special case and needs no MPI.

Every collective is the identity and costs nothing; there is nobody to wait for, so no deadline can pass.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from ..core.errors import UsageError
from ..core.trace import Trace
from ..kernels.pool import Pool
from .communicator import Counters
from .operation import Done


class Alone:
    """Rank 0 of 1."""

    rank, size = 0, 1
    node_rank, node_size = 0, 1

    def __init__(self, trace: Trace | None = None) -> None:
        self.deadline = float("inf")
        self.patience = 0.0
        self.step = 0
        self.counters = Counters()
        self.pool = Pool()
        self.trace = trace

    def isend(self, a: np.ndarray, to: int, tag: int, name: str) -> NoReturn:
        raise UsageError(f"send '{name}': rank 0 of 1 has no peer {to}")

    def irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> NoReturn:
        raise UsageError(f"recv '{name}': rank 0 of 1 has no peer {source}")

    send, recv = isend, irecv

    def iallreduce(self, a: np.ndarray, name: str) -> Done:
        return Done()

    def allreduce(self, a: np.ndarray, name: str) -> np.ndarray:
        return a

    def broadcast(self, a: np.ndarray, root: int, name: str) -> np.ndarray:
        return a

    def barrier(self, name: str) -> None:
        pass

    def broadcast_obj(self, value: Any, root: int, name: str) -> Any:
        return value

    def allgather_obj(self, value: Any, name: str) -> list[Any]:
        return [value]

    def split(self, color: int, key: int) -> Alone:
        return Alone(self.trace)

    def abort(self, code: int) -> NoReturn:
        raise SystemExit(code)
