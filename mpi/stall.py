"""Deadlines: a rank that waits too long says for whom and ends the job; a rank that hangs elsewhere says where.

Only a rank that waits can know that something is overdue, and only the rank that is missing knows why. So the waiter
reports and raises Stalled, after an alarm to all ranks, on which every waiter reports its own operation; and each
rank has a watchdog thread that reports when its rank has not communicated for a deadline: it shows the Python stack
and never ends anything. Whoever raises Stalled gives the others GRACE seconds to speak before the world is aborted.

Some waits are long for a good reason, as those for another rank's disk. They have more patience, and after the deadline
they say so, once: silence must never mean both "all is well" and "this hangs".
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback

from ..core.errors import Stalled
from ..core.trace import Trace
from .communicator import Counters
from .operation import Operation

GRACE = 2.0  # seconds between a Stalled and the abort
EVER = float("inf")


def say(text: str) -> None:
    """One write to stderr, so that the lines of different ranks do not mix."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def rest(waited: float) -> None:
    """Rests between two polls: spins, then yields the core, then sleeps a tenth of the time waited, at most 1 ms.

    Ranks may be more than cores, and then the rank that is waited for needs this core.
    """
    if waited > 200e-6:
        time.sleep(min(1e-3, waited / 10))
    elif waited > 20e-6:
        os.sched_yield()


class Watch:
    """What one rank is doing, for its reports; shared by a communicator and those split from it.

    rank: in the outermost communicator.   step: the strategy's.   deadline: seconds until something is reported.
    patience: seconds that a wait goes on at least, though it is reported after the deadline.
    under_way: collectives that are started and not complete.   counters: of all it has sent.   trace: of what it does.
    """

    def __init__(self, rank: int):
        self.rank, self.step = rank, 0
        self.counters = Counters()
        self.trace: Trace | None = None
        self.last = "none yet"
        self.under_way: list[Operation] = []
        self.inside = False
        self.since = time.monotonic()  # of the last contact with communication
        self.owner = threading.get_ident()
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None
        self.patience = 0.0
        self._deadline = EVER

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._deadline = seconds
        self.touch()
        if seconds < EVER and self.thread is None:
            self.thread = threading.Thread(target=self._guard, name="watchdog", daemon=True)
            self.thread.start()

    def touch(self) -> None:
        self.since = time.monotonic()

    def enter(self, operation: Operation) -> None:
        self.last = f"{operation.kind} '{operation.name}' at step {self.step}"
        self.inside = True

    def leave(self) -> None:
        self.touch()
        self.inside = False

    def overdue(self, waited: float, peers: list[int]) -> None:
        """Says that this rank waits longer than the deadline, and that patience lets it."""
        until = f"it goes on until {self.patience:.3g} s"
        say(f"rank {self.rank} waiting since {waited:.3g} s in {self.last} for {_named(peers)}; {until}")

    def stalled(self, waited: float, peers: list[int]) -> Stalled:
        """Prints this rank's report; the error to raise."""
        whom = _named(peers)
        report = f"rank {self.rank} stalled after {waited:.3g} s in {self.last}, waiting for {whom}"
        say(report)
        self.ended.set()  # the watchdog has nothing to add
        return Stalled(report, f"the report of {whom} says what it does; if it is only slow, raise the deadline")

    def _guard(self) -> None:
        reported = None
        while not self.ended.wait(min(0.5, self._deadline / 8)):
            since, quiet = self.since, time.monotonic() - self.since
            if not self.inside and quiet > self._deadline and since != reported:
                reported = since
                busy = f"rank {self.rank} busy outside communication since {quiet:.3g} s; last: {self.last}"
                say(f"{busy}\n{self._stack()}")

    def _stack(self) -> str:
        frame = sys._current_frames().get(self.owner)
        lines = traceback.format_stack(frame) if frame else ["  its thread has ended\n"]
        return prefixed(self.rank, "".join(lines))


def _named(peers: list[int]) -> str:
    ranks = f"rank{'s' if len(peers) > 1 else ''} {', '.join(map(str, peers))}"
    return ranks if peers else "the other ranks"


def prefixed(rank: int, text: str) -> str:
    """Every line of text after "rank N: "."""
    return "\n".join(f"rank {rank}: {line}" for line in text.rstrip().splitlines())
