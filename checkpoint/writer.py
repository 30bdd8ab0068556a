"""Writer: one rank's part of a save, written by a thread while the rank trains on.

A thread, because nearly all of its time passes where Python's lock is free: in HDF5's writes, in fsync and in sha256.
It asks for the lock seldom, though, for it waits up to 5 ms for it beside a busy main thread: to hash 500 MB in 2,000
blocks was seen to take 15 s instead of 1.6, and in blocks of 16 MiB no more than 0.3 s can be lost. No MPI: only a
rank's main thread speaks it. Training goes on with arrays that the thread does not see: it writes a copy, in memory
that is kept for the next one, as fresh memory costs six times the copying.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.spec import State
from ..core.trace import span
from ..mpi.communicator import Communicator
from . import private, shard
from .agreement import together
from .manifest import File
from .slices import Slice

Arrays = Mapping[str, Any]


class Writer:
    """Writes one save at a time, and keeps an error for who asks for the result.

    blind: the ranks that do not see the folder; if there are some, rank 0 writes for all.
    """

    def __init__(self, communicator: Communicator, blind: Sequence[int]):
        self.communicator, self.blind = communicator, blind
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._work: Future[list[File]] | None = None
        self._held: dict[str, np.ndarray] = {}

    def start(self, path: Path, edition: int, state: State, parts: list[list[Slice]], hold: bool) -> None:
        """Collective: starts this rank's thread.   parts: what each rank has to write.   hold: whether to write a copy.

        CheckpointError if rank 0 has to write for all and cannot, or there is no memory for a copy.
        """
        rank, part = self.communicator.rank, parts[self.communicator.rank]
        arrays: Arrays = {one.name: state.tensors[one.name][1] for one in part}
        write, received = partial(shard.write, path, edition), list[File]()
        if self.blind:
            gather = partial(private.gather, self.communicator, parts, shard.numbers(part, arrays), write)
            together(self.communicator, "checkpoint gather", lambda: received.extend(gather()))
            part = part if rank == 0 else []
        if hold:
            together(self.communicator, "checkpoint copy", lambda: self._hold(part, arrays))
            arrays = self._held

        def work() -> list[File]:
            with span(self.communicator.trace, "write", "write", stream="writer", tensors=len(part)):
                return [*([write(rank, part, shard.numbers(part, arrays))] if part else []), *received]

        self._work = self._thread.submit(work)

    def _hold(self, part: Sequence[Slice], arrays: Arrays) -> None:
        self._held = {one.name: self._room(one) for one in part}
        for name, copy in self._held.items():
            np.copyto(copy, arrays[name])

    def _room(self, one: Slice) -> np.ndarray:
        kept = self._held.get(one.name)
        if kept is not None and (kept.shape, kept.dtype) == (one.shape, one.dtype):
            return kept
        return np.empty(one.shape, one.dtype)

    @property
    def busy(self) -> bool:
        return self._work is not None and not self._work.done()

    def result(self) -> list[dict[str, Any]]:
        """Waits for the thread; the records of what this rank wrote, or its error."""
        assert self._work
        return [file.fields() for file in self._work.result()]

    def close(self) -> None:
        """Waits for the thread to end, whatever becomes of its work."""
        self._thread.shutdown()
