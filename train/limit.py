"""TimeLimit: all ranks stop after the same step, by one clock, without asking each other after every step.

Ranks on several machines have no common time, and a step that some take and others do not is a deadlock. So rank 0's
clock counts, and it is told in a broadcast of 8 bytes at steps that every rank computes from what was told before: after
half of the steps that are expected to be left, and at least every LOOK seconds. At a steady pace these steps close in
on the one that crosses the limit (as Achilles on the tortoise, but in whole steps, so he arrives); if the pace drops, the
limit is overrun by half of what was left, at most.
"""

from __future__ import annotations

import time

import numpy as np

from ..mpi.communicator import Communicator

LOOK = 30.0  # seconds, at the pace so far
now = time.monotonic


class TimeLimit:
    """minutes from `began`, a reading of now() on rank 0; 0 = no limit, and no message."""

    def __init__(self, communicator: Communicator, minutes: float, began: float):
        self.communicator, self.seconds, self.began = communicator, 60 * minutes, began
        self.first: tuple[float, int] | None = None  # seconds and steps at the first look
        self.steps = self.next = 0

    def over(self, steps: int = 0) -> bool:
        """Whether the time is up; a collective call, by all ranks after the same steps.

        steps: done since the last call; 0 asks for a look at the clock now, as after something that is no step.
        """
        self.steps += steps
        if not self.seconds or (steps and self.steps < self.next):
            return False
        told = self.communicator.broadcast(np.array([now() - self.began]), 0, "clock")
        seconds = float(told[0])
        if self.first is None:
            self.first = seconds, self.steps
        spent, done = seconds - self.first[0], self.steps - self.first[1]
        ahead = min(LOOK, (self.seconds - seconds) / 2) * done / spent if spent > 0 else 0
        self.next = self.steps + max(1, int(ahead))
        return seconds >= self.seconds
