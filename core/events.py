"""The event file: one JSON object a line, one file a rank.

Lines are written whole and flushed, so a killed rank leaves a readable file, and `jq`, pandas or a text editor read it.

    {"t": 12.081, "rank": 1, "event": "step", "step": 40, ...}        t: seconds since this rank's file was opened

They are a record, not the work: where a disk takes no more of them, that is said once and the job goes on without.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any


def finite(value: Any) -> Any:
    """The same for json; infinity and what is not a number, for which JSON has no word, become None."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


class Events:
    """Appends events of one rank to `folder/events-RANK.jsonl`; `Events(None, rank)` writes nothing."""

    def __init__(self, folder: Path | None, rank: int):
        self.rank = rank
        self.start = time.monotonic()
        self.file = (folder / f"events-{rank}.jsonl").open("a", buffering=1) if folder else None

    def write(self, event: str, **fields: Any) -> None:
        """One line; fields must be what json can hold."""
        if self.file:
            record = {"t": round(time.monotonic() - self.start, 6), "rank": self.rank, "event": event, **finite(fields)}
            try:
                self.file.write(json.dumps(record) + "\n")
            except OSError as error:
                sys.stderr.write(f"rank {self.rank} writes no more events: {self.file.name}: {error.strerror}\n")
                with suppress(OSError):  # it tries once more
                    self.file.close()
                self.file = None

    def close(self) -> None:
        if self.file:
            self.file.close()
            self.file = None
