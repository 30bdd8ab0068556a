"""Rhythm: when time, not a count of steps, asks for a save. Rank 0's answer counts; the pulse tells it to the others.

`checkpoint.auto` balances what saves cost against what failures lose (Daly, in checkpoint.interval): the cost is measured,
failures are what this run has seen: a start that finds the lease of a dead job is one more. So how long the run has been
at work and how often it was killed lie in every checkpoint.
"""

from __future__ import annotations

from typing import Any

from ..checkpoint.interval import Interval
from . import pulse
from .config import Checkpoint

HOUR = 3600.0


class Rhythm:
    """machines: how many may fail.   began: of this start, a reading of pulse.now().   failures: seen so far."""

    def __init__(self, settings: Checkpoint, machines: int, began: float):
        self.period = settings.every_seconds
        self.interval = Interval(settings.mtbf_hours * HOUR / machines) if settings.auto else None
        self.began = self.since = began
        self.before = 0.0  # seconds that earlier starts ran
        self.failures = 0

    def due(self) -> bool:
        periods = [self.period] if self.period else []
        if self.interval:
            self.interval.failures, self.interval.uptime = self.failures, self._uptime()
            periods.append(self.interval.seconds)
        return bool(periods) and pulse.now() - self.since >= min(periods)

    def saved(self) -> None:
        """The state was saved, or taken for a save in the background; time counts from here."""
        self.since = pulse.now()

    def paid(self, seconds: float) -> None:
        """A save was committed, and held training up for so long."""
        if self.interval:
            self.interval.saved(seconds)

    def _uptime(self) -> float:
        return self.before + pulse.now() - self.began

    def state(self) -> dict[str, Any]:
        """The life of the run so far, for the checkpoint."""
        return {"seconds": self._uptime(), "failures": self.failures}

    def load_state(self, life: dict[str, Any], died: bool) -> None:
        """Continues a life.   died: the start before this one was killed."""
        self.before = life.get("seconds", 0.0)
        self.failures = life.get("failures", 0) + died
