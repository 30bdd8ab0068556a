"""The pulse: what may change the course of a run, summed over all ranks between two steps, so that all change it alike.

Ranks have neither one clock nor one signal, and a step that some take and others do not is a deadlock. So every rank adds
what it knows (a signal it was sent, a writer still at work; rank 0 also its clock and whether a save is due), and all act
on the sum. The steps after which that happens follow from the last sums: as many as rank 0 makes in BEAT seconds, at
least one; a rank alone asks itself every time. A fast step pays for almost no message, a slow one is not waited for twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..mpi.communicator import Communicator
from .signals import NAMES, Wishes

BEAT = 0.25  # seconds
now = time.monotonic


@dataclass(frozen=True)
class Word:
    """What all ranks know.   seconds: on rank 0's clock.   due: it wants a save.   writing: ranks whose writer works.

    signals: how many ranks were sent each.
    """

    seconds: float
    due: bool
    writing: int
    signals: dict[str, int]

    @property
    def asked(self) -> str:
        """The signal that asks to end; "" for none. Ctrl-C first: somebody sits there."""
        return next((name for name in reversed(NAMES) if self.signals[name]), "")


class Pulse:
    """began: when the command did, a reading of now() on rank 0.   due, writing: what this rank has to say; due counts on rank 0."""

    def __init__(
        self,
        communicator: Communicator,
        wishes: Wishes,
        began: float,
        due: Callable[[], bool] = lambda: False,
        writing: Callable[[], bool] = lambda: False,
    ):
        self.communicator, self.wishes, self.began = communicator, wishes, began
        self.due, self.writing = due, writing
        self.steps = self.next = 0
        self.last = (0.0, 0)  # seconds and steps of the last look

    def beat(self, steps: int = 1) -> Word | None:
        """What all know now; None where it is not time to ask. A collective call, by all ranks after the same steps.

        steps: done since the last call; 0 asks now, as after something that is no step.
        """
        self.steps += steps
        if steps and self.steps < self.next:
            return None
        word = self._sum()
        spent, done = word.seconds - self.last[0], self.steps - self.last[1]
        if done:
            many = spent > 0 and self.communicator.size > 1
            self.next = self.steps + (max(1, int(BEAT * done / spent)) if many else 1)
            self.last = word.seconds, self.steps
        return word

    def _sum(self) -> Word:
        """Not counted: how often the pulse beats depends on the pace, and what a run has sent must not."""
        counters = self.communicator.counters
        messages, sent = counters.messages, counters.bytes
        word = self._word(self.communicator.allreduce(self._mine(), "pulse"))
        counters.messages, counters.bytes = messages, sent
        return word

    def _mine(self) -> np.ndarray:
        first = self.communicator.rank == 0
        heard = [min(1, self.wishes.counts[name]) for name in NAMES]
        return np.array([first and now() - self.began, first and self.due(), self.writing(), *heard], np.float64)

    @staticmethod
    def _word(total: np.ndarray) -> Word:
        seconds, due, writing, *heard = total.tolist()
        return Word(seconds, due > 0, int(writing), dict(zip(NAMES, map(int, heard), strict=True)))
