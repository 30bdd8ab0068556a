"""How far a run came, told apart by its newest checkpoint and its last step: what a restart is worth.

Both are high-water marks. A restart from an older checkpoint repeats steps, and repeating is no progress.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..checkpoint import history

TAIL = 1 << 16  # bytes at the end of an event file in which its last step is looked for


class Progress:
    """How far a run came: commits of generations, and the last step that an event file tells of; -1 for none."""

    def __init__(self, folder: Path):
        self.folder, self.idle = folder, 0
        self.best = self.now()

    def now(self) -> tuple[int, int]:
        known = history.readable(self.folder)
        return known[0][0].serial if known else -1, max(map(_last_step, self.folder.glob("events-*.jsonl")), default=-1)

    def died(self) -> int:
        """Deaths in a row, with this one, that came no further in either than was ever reached before."""
        commits, step = self.now()
        self.idle = 0 if commits > self.best[0] or step > self.best[1] else self.idle + 1
        self.best = max(commits, self.best[0]), max(step, self.best[1])
        return self.idle


def finished(folder: Path) -> bool:
    """Whether the last start came to its own end; True where rank 0's events cannot be seen from here."""
    file = folder / "events-0.jsonl"
    return not file.exists() or next((event["event"] == "end" for event in _events(file)), False)


def _last_step(file: Path) -> int:
    return next((int(event["step"]) for event in _events(file) if event["event"] == "step"), -1)


def _events(file: Path) -> Iterator[dict[str, Any]]:
    """The last events of a file, the last one first."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL))
        lines = opened.read().splitlines()
    for line in reversed(lines):
        with suppress(ValueError, TypeError):  # a line that a killed rank did not end
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event
