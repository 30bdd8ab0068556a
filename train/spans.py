"""The spans of one rank as the trace file holds them, sorted out for counting.

A span is {"name", "cat", "ts", "dur", "args", ...} of train.chrome, times in microseconds; here they are seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .intervals import Interval, common, length, union


class Spent(NamedTuple):
    """One span.   thread: where it lies.   own: its seconds without those of the spans inside it."""

    kind: str
    name: str
    start: float
    stop: float
    thread: int
    args: dict[str, Any]
    own: float

    @property
    def seconds(self) -> float:
        return self.stop - self.start

    @property
    def interval(self) -> Interval:
        return self.start, self.stop


class Spans:
    """Of one rank.   steps: those that were traced, in their order, drains among them."""

    def __init__(self, rank: int, events: Iterable[dict[str, Any]]):
        self.rank = rank
        self.kinds: dict[str, list[Spent]] = defaultdict(list)
        for one in _owned(events):
            self.kinds[one.kind].append(one)
        self.steps = sorted(self.kinds["step"], key=lambda step: step.start)
        self.starts = [step.start for step in self.steps]

    def step(self, one: Spent) -> str | None:
        """The name of the step that a span began in."""
        number = bisect_right(self.starts, one.start) - 1
        return self.steps[number].name if number >= 0 and one.start < self.steps[number].stop else None

    def within(self, kind: str) -> list[Spent]:
        """The spans of a kind that began within steps."""
        return [one for one in self.kinds[kind] if self.step(one)]

    def seconds(self, kind: str) -> float:
        return sum(one.seconds for one in self.within(kind))

    def since_first_step(self) -> Iterator[Spent]:
        """What has a thread of its own: not communication, which goes on beside it."""
        for kind, spans in self.kinds.items():
            if kind != "communication" and self.steps:
                yield from (one for one in spans if one.start >= self.starts[0])

    def overlap(self) -> float | None:
        """The part of the time with a communication under way, within steps, in which this rank was not waiting; None without any."""
        steps = union(step.interval for step in self.steps)
        waiting = union(one.interval for kind in ("wait", "data") for one in self.kinds[kind])
        under_way = common(union(one.interval for one in self.kinds["communication"]), steps)
        whole = length(under_way)
        return 1 - length(common(under_way, waiting)) / whole if whole else None


def _owned(events: Iterable[dict[str, Any]]) -> Iterator[Spent]:
    """Every span with its own time: on each thread they lie one in another, so a stack holds those that are not over."""
    threads: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        threads[event["tid"]].append(event)
    for thread, mine in threads.items():
        inside: list[float] = [0.0] * len(mine)
        stack: list[int] = []
        mine.sort(key=lambda event: (event["ts"], -event["dur"]))
        for i, event in enumerate(mine):
            while stack and mine[stack[-1]]["ts"] + mine[stack[-1]]["dur"] <= event["ts"]:
                stack.pop()
            if stack:
                inside[stack[-1]] += event["dur"]
            stack.append(i)
        for event, seconds in zip(mine, inside, strict=True):
            start, stop = event["ts"] / 1e6, (event["ts"] + event["dur"]) / 1e6
            own = (event["dur"] - seconds) / 1e6
            yield Spent(event["cat"], event["name"], start, stop, thread, event["args"], own)
