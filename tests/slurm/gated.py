"""The command `shoal`, but before step GATE_STEP each rank stops at a gate, once, until a signal has reached it.

So a test knows where a run is when it sends a signal, and that no rank has gone on before it came. GATE is the folder in
which the ranks say that they are there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from shoal.cli import main
from shoal.train.loop import Loop

STEP, FOLDER = int(os.environ["GATE_STEP"]), Path(os.environ["GATE"])
LONGEST = 150.0  # seconds
feed = Loop._feed


def gated(self: Loop, name: str, batch: Any) -> Any:
    here = FOLDER / f"rank-{self.job.comm.rank}"
    if self.fed == STEP and not here.exists():
        here.touch()
        end = time.monotonic() + LONGEST
        while not any(self.wishes.counts.values()):
            if time.monotonic() > end:
                raise TimeoutError(f"no signal within {LONGEST} s")
            time.sleep(0.01)
    return feed(self, name, batch)


Loop._feed = gated  # type: ignore[method-assign]
main()
