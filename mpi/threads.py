"""threads: ranks as threads of one process, for tests of logic and for teaching.

    run(4, program) -> [program(rank 0's communicator), ..., program(rank 3's)]

A message is a copy left in a dictionary under (communicator, source, destination, tag, number). The number, counted
by each side for itself, is what keeps messages from overtaking, and since every key is written once and taken once
there is no lock. Ranks share nothing else: no strategy may notice that they live in one process.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import RankDied, Stalled, UsageError
from .collectives import Collectives
from .communicator import Communicator
from .operation import Operation
from .stall import GRACE, Watch


class Hub:
    """What the ranks of one run share: the letters under way and the first error."""

    def __init__(self) -> None:
        self.letters: dict[tuple, np.ndarray] = {}
        self.error: BaseException | None = None
        self.culprit = 0
        self.stalled = False
        self.lock = threading.Lock()

    def fail(self, rank: int, error: BaseException) -> None:
        with self.lock:
            if self.error is None:
                self.error, self.culprit = error, rank


class Sent(Operation):
    """The letter is a copy, so the array is free at once."""

    def advance(self) -> bool:
        return True

    def peers(self) -> set[int]:
        return set()


class Receive(Operation):
    def __init__(self, owner: Threads, a: np.ndarray, source: int, key: tuple, name: str):
        super().__init__(owner, "recv", name)
        self.a, self.source, self.key = a, source, key
        self.complete = False

    def advance(self) -> bool:
        if not self.complete and (letter := self.owner.hub.letters.pop(self.key, None)) is not None:
            if letter.nbytes != self.a.nbytes:
                raise UsageError(
                    f"recv '{self.name}': rank {self.source} sent {letter.nbytes} bytes, {self.a.nbytes} were expected"
                )
            self.a.reshape(-1).view(np.uint8)[...] = letter
            self.complete = True
        return self.complete

    def peers(self) -> set[int]:
        return set() if self.complete else {self.source}


class Threads(Collectives):
    """One rank of a run."""

    def __init__(self, hub: Hub, group: tuple, rank: int, ranks: list[int], watch: Watch, backend: str):
        super().__init__(rank, ranks, (rank, len(ranks)), watch, backend, group)
        self.hub = hub
        self.sent: Counter[tuple[int, int]] = Counter()
        self.received: Counter[tuple[int, int]] = Counter()

    def _isend(self, a: np.ndarray, to: int, tag: int, name: str) -> Operation:
        key = (self.group, self.rank, to, tag, self.sent[to, tag])
        self.sent[to, tag] += 1
        self.hub.letters[key] = a.reshape(-1).view(np.uint8).copy()
        return Sent(self, "send", name)

    def _irecv(self, a: np.ndarray, source: int, tag: int, name: str) -> Operation:
        key = (self.group, source, self.rank, tag, self.received[source, tag])
        self.received[source, tag] += 1
        return Receive(self, a, source, key, name)

    def alarm(self) -> None:
        self.hub.stalled = True

    def alarmed(self) -> bool:
        error = self.hub.error
        if error is not None and not isinstance(error, Stalled):
            raise RankDied(f"rank {self.hub.culprit} ended with {type(error).__name__}: {error}")
        return self.hub.stalled

    def split(self, color: int, key: int) -> Threads:
        places = self.allgather_obj([color, key], "split")
        mine = sorted((k, r) for r, (c, k) in enumerate(places) if c == color)
        group = (*self.group, self.sequence, color)
        members = [r for _, r in mine]
        outermost = [self.ranks[r] for r in members]
        return Threads(self.hub, group, members.index(self.rank), outermost, self.watch, self.backend)

    def abort(self, code: int) -> None:
        raise SystemExit(code)


def run(
    n: int, program: Callable[[Communicator], Any], *, deadline: float = float("inf"), backend: str = "cpu"
) -> list[Any]:
    """What each rank's program returned. One rank's error ends all of them, and the first error is raised here."""
    hub, results = Hub(), [None] * n

    def body(rank: int) -> None:
        watch = Watch(rank)
        try:
            watch.deadline = deadline
            results[rank] = program(Threads(hub, (), rank, list(range(n)), watch, backend))
        except BaseException as error:  # raised again by run
            hub.fail(rank, error)
        finally:
            watch.ended.set()

    ranks = [threading.Thread(target=body, args=(r,), name=f"rank {r}", daemon=True) for r in range(n)]
    for thread in ranks:
        thread.start()
    _join(ranks, hub)
    if hub.error is not None:
        raise hub.error
    return results


def _join(ranks: list[threading.Thread], hub: Hub) -> None:
    """Until all have ended; after an error only GRACE seconds more, since a thread that hangs cannot be ended."""
    until = None
    for thread in ranks:
        while thread.is_alive() and (until is None or time.monotonic() < until):
            thread.join(0.02)
            if hub.error is not None and until is None:
                until = time.monotonic() + GRACE
