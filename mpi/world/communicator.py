"""World: the communicator over mpi4py, on a duplicate of the user's communicator so that no tags are shared.

Arrays travel as bytes: MPI then has no types to disagree about, and mpi4py no object to pickle. MPI counts in 32-bit
integers, so what is longer than PIECE goes in several messages of one tag, which MPI keeps in order.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np

from ...core.errors import UsageError
from ...core.trace import span
from ..collectives import LABELS, UNDER_WAY, USER_TAGS, Collectives, contiguous
from ..communicator import Request
from ..operation import Operation, traced
from ..stall import Watch
from .library import MPI, begin

PIECE = 1 << 30  # bytes in one MPI message at most; MPI's own limit is 2^31 - 1
ALARM = USER_TAGS - 1  # the tag of "I have stalled", on a communicator of its own


class Transfer(Operation):
    """MPI requests, and the array they work on, which must live as long.

    peer: None where only MPI knows.   expected: bytes to receive; None where nothing is received from one peer.
    """

    def __init__(
        self, owner: World, kind: str, name: str, a: np.ndarray, requests: list, peer: int | None, expected: int | None
    ):
        super().__init__(owner, kind, name)
        self.a, self.requests, self.peer, self.expected = a, requests, peer, expected
        self.received = 0

    def advance(self) -> bool:
        status = MPI.Status()
        while self.requests:
            try:
                if not self.requests[0].Test(status):
                    return False
            except MPI.Exception as error:
                if error.Get_error_class() == MPI.ERR_TRUNCATE:
                    raise self._wrong_size("more") from error
                raise
            del self.requests[0]
            self.received += status.Get_count(MPI.BYTE) if self.expected is not None else 0
        if self.expected is not None and self.received != self.expected:
            raise self._wrong_size(f"{self.received}")
        return True

    def _wrong_size(self, got: str) -> UsageError:
        return UsageError(f"recv '{self.name}': rank {self.peer} sent {got} bytes, {self.expected} were expected")

    def peers(self) -> set[int]:
        return {self.peer} if self.requests and self.peer is not None else set()


class World(Collectives):
    """This rank of an MPI communicator.   reduction: "fixed" adds in rank order, "mpi" leaves the order to MPI."""

    def __init__(
        self,
        communicator: Any = None,
        *,
        reduction: str = "fixed",
        backend: str = "cpu",
        outer: World | None = None,
        group: tuple = (),
    ):
        begin()
        self.mpi = (MPI.COMM_WORLD if communicator is None else communicator).Dup()
        self.alarms: Any = outer.alarms if outer else self.mpi.Dup()
        self.reduction = reduction
        rank, size = self.mpi.rank, self.mpi.size
        node = self.mpi.Split_type(MPI.COMM_TYPE_SHARED, rank)
        ranks = list(MPI.Group.Translate_ranks(self.mpi.group, list(range(size)), self.alarms.group))
        watch = outer.watch if outer else Watch(rank)
        super().__init__(rank, ranks, (node.rank, node.size), watch, backend, group)
        tags = int(MPI.COMM_WORLD.Get_attr(MPI.TAG_UB) or 2**15 - 1) + 1 - USER_TAGS  # Open MPI has 2^31
        self.labels = min(LABELS, tags // (2 * UNDER_WAY))
        node.Free()

    def _isend(self, a: np.ndarray, to: int, tag: int, name: str) -> Operation:
        requests = [self.mpi.Isend([piece, MPI.BYTE], to, _wire(tag)) for piece in _pieces(a)]
        return Transfer(self, "send", name, a, requests, to, None)

    def _irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> Operation:
        requests = [self.mpi.Irecv([piece, MPI.BYTE], source, _wire(tag)) for piece in _pieces(a)]
        return Transfer(self, "recv", name, a, requests, source, a.nbytes)

    def iallreduce(self, a: np.ndarray, name: str) -> Request:
        """With reduction "mpi" the counters hold what is handed to MPI: one message of a.nbytes."""
        if self.reduction == "fixed" or self.size == 1:
            return super().iallreduce(a, name)
        contiguous(a, f"allreduce '{name}'")
        self.counters.messages += 1
        self.counters.bytes += a.nbytes
        under_way = span(self.trace, "communication", "allreduce", name, stream="communication", bytes=a.nbytes).start()
        pieces = [piece.view(a.dtype) for piece in _pieces(a)]
        requests = [self.mpi.Iallreduce(MPI.IN_PLACE, piece, MPI.SUM) for piece in pieces]
        return traced(Transfer(self, "allreduce", name, a, requests, None, None), under_way)

    def alarm(self) -> None:
        nothing, others = np.empty(0, np.uint8), [r for r in range(self.alarms.size) if r != self.watch.rank]
        requests = [self.alarms.Isend([nothing, MPI.BYTE], r, ALARM) for r in others]
        until = time.monotonic() + 0.1  # a push; some of them may never be received
        while time.monotonic() < until and not MPI.Request.Testall(requests):
            time.sleep(1e-3)

    def alarmed(self) -> bool:
        return self.alarms.Iprobe(MPI.ANY_SOURCE, ALARM)

    def split(self, color: int, key: int) -> World:
        self.barrier("split")  # MPI's own split has no deadline
        part = self.mpi.Split(color, key)
        group = (*self.group, self.sequence, color)
        inner = World(part, reduction=self.reduction, backend=self.backend, outer=self, group=group)
        part.Free()
        return inner

    def abort(self, code: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # full, closed or None: the abort must come all the same
                stream.flush()
        time.sleep(0.2)  # what was printed and the news of the abort go to mpirun by different roads
        if not MPI.Is_finalized():
            MPI.COMM_WORLD.Abort(code)
        os._exit(code)


def _wire(tag: int) -> int:
    """The caller's tags as they are, the collectives' above them."""
    return tag if tag >= 0 else USER_TAGS - 1 - tag


def _pieces(a: np.ndarray) -> list[np.ndarray]:
    raw = a.reshape(-1).view(np.uint8)
    return [raw[i : i + PIECE] for i in range(0, max(raw.size, 1), PIECE)]
