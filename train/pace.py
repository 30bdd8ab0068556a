"""Pace: how the run is getting on, in the numbers that the screen, the event file and the summary all show.

Time is split by what this rank did while it trained, and the three parts add up to all of it:

    communication   blocked in the communicator (what overlaps with computing costs nothing and is not counted)
    idle            waiting for the next share of data
    compute         the rest
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line shows progress modes without loading arrays
    from ..mpi.strategy import Report


@dataclass
class Pace:
    """total, done: steps of the whole run.   loss: recent, smoothed.   The others count from this start."""

    total: int
    done: int = 0
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    communication: float = 0.0
    idle: float = 0.0
    loss: float = float("nan")

    def spend(self, seconds: float, communication: float, idle: float) -> None:
        self.seconds += seconds
        self.communication += communication
        self.idle += idle

    def add(self, report: Report) -> None:
        self.done = report.step + 1
        self.steps += 1
        self.samples += report.samples
        first = self.loss != self.loss
        self.loss = report.loss if first else 0.9 * self.loss + 0.1 * report.loss

    @property
    def speed(self) -> float:
        """Samples per second of training, over all ranks."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds of training to go, if it goes on like this."""
        return (self.total - self.done) * self.seconds / self.steps if self.steps else 0.0

    def shares(self) -> dict[str, float]:
        """Fractions of the training time that add up to 1; all zero before the first step."""
        if not self.seconds:
            return {"compute": 0.0, "communication": 0.0, "idle": 0.0}
        compute = self.seconds - self.communication - self.idle
        spent = {"compute": compute, "communication": self.communication, "idle": self.idle}
        return {name: seconds / self.seconds for name, seconds in spent.items()}

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares().items())
        return f"loss {self.loss:.4f}, {self.speed:,.0f} samples/s, {clock(self.left)} left, {shares}"


def clock(seconds: float) -> str:
    """0:07, 12:30, 3:05:09."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
