"""Whether a world that has not ended is alive: somebody writes something.

What the ranks say goes past the supervisor, straight to the terminal or the file, so that a bar stays a bar. But the kernel
counts what a launcher writes, and an idle one writes nothing; and a run folder grows by an event a step. A clock that
ticks in a rank would prove less: its thread ticks on in a rank that hangs, as the lease does, and is no sign here.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from .session import Session

ALONE = 30.0  # seconds a launcher may live on after its ranks
LOOK = 1.0  # seconds between two looks


class Life:
    """Signs of life of a world: what its launcher writes, and files of the run folder that grow."""

    def __init__(self, session: Session, folder: Path, silence: float):
        self.session, self.folder, self.silence = session, folder, silence
        self.looked = self.heard = self.accompanied = time.monotonic()
        self.signs: object = None
        self.had_ranks = False

    def problem(self) -> str:
        """What is wrong with it, "" if nothing is known to be; looks every LOOK seconds."""
        now = time.monotonic()
        if now < self.looked + LOOK:
            return ""
        self.looked = now
        signs = self.session.written(), _sizes(self.folder)
        if signs != self.signs:
            self.signs, self.heard = signs, now
        if self.session.ranks():
            self.had_ranks, self.accompanied = True, now
        if self.had_ranks and now - self.accompanied > ALONE:
            return f"the launcher hangs, {ALONE:g} s after its ranks have ended"
        if 0 < self.silence < now - self.heard:
            return f"no output and no event for {self.silence:g} s: the world is stalled"
        return ""


def _sizes(folder: Path) -> dict[Path, int]:
    """Of all files; a large checkpoint that is being written is a sign of life too."""
    sizes = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            sizes[path] = path.stat().st_size
    return sizes
