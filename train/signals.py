"""Signals become a wish that is granted between two steps; nothing is saved, and no rank spoken to, inside a handler.

    SIGUSR1   what batch systems send before the time limit, and mpirun forwards: save, end with 75
    SIGTERM   the same; mpirun kills its ranks a quarter of a second after it, a process of its own has all the time it needs
    SIGINT    Ctrl-C: save, end with 130; a second one, or one before there is anything to save, ends at once

The handlers are there before MPI and NumPy are loaded, so a signal that comes early is not a death but an early wish.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGUSR1", "SIGTERM", "SIGINT")
PATIENCE = b"\nending after this step, with a checkpoint; Ctrl-C again ends at once\n"


class Wishes:
    """What this process was asked for.   counts: signals of each name so far.   savable: there is something to save."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NAMES, 0)
        self.savable = False

    @contextmanager
    def heard(self) -> Iterator[Wishes]:
        """Hears the signals inside the block, on the main thread."""
        before = {name: signal.signal(getattr(signal, name), self._hear) for name in NAMES}
        try:
            yield self
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.counts[name] += 1
        if name == "SIGINT":
            if not self.savable or self.counts[name] > 1:
                raise KeyboardInterrupt
            os.write(2, PATIENCE)  # print() may be what was interrupted
