"""The trace: what one rank did from when to when, in memory until somebody writes it down.

There is one recorder a rank, and everything that takes time may call it: layers through their context, the communicator and
who holds one, the threads that read and write. Where nobody traces it is None, and what is left of a span is one comparison.
A span is kept if it began while `recording` was on; so a window of steps can be traced of a run of any length, and what a
rank keeps is bounded.

    with span(trace, "forward", path, kind):     on the thread that works
    under_way = span(...).start()                what has no thread of its own; under_way.stop() when it is over
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

MOST = 200_000  # spans of a rank, about 60 MB


class Record(NamedTuple):
    """stream: the thread it is shown on.   kind: what one may select by.   start, stop: seconds on the trace's clock."""

    stream: str
    kind: str
    name: str
    start: float
    stop: float
    facts: dict[str, Any]


class Span:
    """Something under way; start and stop, or the body of a `with`, are its ends."""

    __slots__ = ("began", "facts", "kind", "stream", "trace", "words")

    def __init__(self, trace: Trace, kind: str, words: tuple[str, ...], stream: str, facts: dict[str, Any]):
        self.trace, self.kind, self.words, self.stream, self.facts = trace, kind, words, stream, facts
        self.began = 0.0

    def start(self) -> Span:
        self.began = self.trace.clock()
        self.trace.open[id(self)] = self
        return self

    def stop(self) -> None:
        if self.trace.open.pop(id(self), None):
            self.trace.keep(self.record(self.trace.clock()))

    def record(self, stop: float) -> Record:
        return Record(self.stream, self.kind, " ".join(self.words), self.began, stop, self.facts)

    def __enter__(self) -> Span:
        return self.start()

    def __exit__(self, error: type | None, *rest: object) -> None:
        if error:
            self.facts = {**self.facts, "error": error.__name__}
        self.stop()


class Nothing(Span):
    """A span that nobody asked for."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def start(self) -> Span:
        return self

    def stop(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


NOTHING = Nothing()


def span(trace: Trace | None, kind: str, *words: str, stream: str = "main", **facts: Any) -> Span:
    """A span called by these words, to be started; NOTHING where it is not recorded.   facts: what json can hold."""
    if trace is None or not trace.recording:
        return NOTHING
    return Span(trace, kind, words, stream, facts)


class Trace:
    """The spans of one rank.   clock: seconds from anywhere.   lost: spans beyond the most that are kept."""

    def __init__(self, rank: int, clock: Callable[[], float] = time.monotonic, most: int = MOST):
        self.rank, self.clock, self.most = rank, clock, most
        self.recording = False
        self.records: list[Record] = []
        self.open: dict[int, Span] = {}
        self.lost = 0

    def keep(self, record: Record) -> None:
        """Also for what is only known once it is over; whether `recording` is on is not asked."""
        if len(self.records) < self.most:
            self.records.append(record)
        else:
            self.lost += 1

    def past(self, kind: str, name: str, seconds: float, stream: str = "main") -> None:
        """What ended now and took so long."""
        now = self.clock()
        self.keep(Record(stream, kind, name, now - seconds, now, {}))

    def take(self) -> list[Record]:
        """All spans so far, and those that are under way as far as they are; the trace is empty after it."""
        self.recording = False
        now, records, unfinished = self.clock(), self.records, list(self.open.values())
        self.records, self.open = [], {}
        return records + [one.record(now)._replace(facts={**one.facts, "unfinished": True}) for one in unfinished]
