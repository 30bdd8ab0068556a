"""Who computed what from when to when: what a simulation predicts and an executor records, so that both are drawn and
measured by the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .schedule import Action


@dataclass(frozen=True)
class Span:
    """One action on one rank, from `start` to `stop` in seconds on a clock that all ranks share."""

    rank: int
    action: Action
    start: float
    stop: float


@dataclass(frozen=True)
class Timeline:
    """The spans of `ranks` ranks, in the order of time on each; time begins with the first span.

    unit: of its times: seconds, or what a simulation counted instead.
    """

    ranks: int
    spans: Sequence[Span]
    unit: str = "s"

    @property
    def start(self) -> float:
        return min((span.start for span in self.spans), default=0.0)

    @property
    def makespan(self) -> float:
        """Seconds from the first start to the last stop."""
        return max((span.stop for span in self.spans), default=0.0) - self.start

    def of(self, rank: int) -> list[Span]:
        return [span for span in self.spans if span.rank == rank]

    def busy(self, rank: int) -> float:
        """Seconds in which a rank computed."""
        return sum(span.stop - span.start for span in self.of(rank))

    def idle(self, rank: int) -> float:
        """Seconds in which a rank waited, of the makespan."""
        return self.makespan - self.busy(rank)

    @property
    def bubble(self) -> float:
        """The idle fraction of all ranks' time: 1 - sum_k busy_k / (p * makespan)."""
        whole = self.ranks * self.makespan
        return 1 - sum(span.stop - span.start for span in self.spans) / whole if whole else 0.0
