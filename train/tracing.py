"""Tracing a run: a window of steps is recorded on every rank, and rank 0 makes one file of it.

The file is made as soon as the window is over, not when the run is: what kills a run later finds it on the disk, and no rank
holds spans for longer than it must. If all ranks end together within the window (the run is over, or a signal asked for it)
it holds what there is. If one rank ends alone the others cannot be asked for anything any more; then each rank that still
can writes what it has into a file of its own, with what it was doing as its last spans.

    start                       step FIRST                      step LAST
    clock ... compile, warm-up  clock, recording ............   clock, gather, trace.json.gz

Pieces travel compressed, a few bytes a span, and the spans of a rank are bounded (core/trace.py).
"""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.agreement import patient
from ..checkpoint.commit import publish
from ..core.trace import Trace
from ..mpi.clocks import Clock
from ..mpi.communicator import Communicator
from ..mpi.gather import gather
from . import chrome, run
from .config import Config
from .summary import size

NAME, OWN = "trace.json.gz", "trace-{}.json.gz"  # of all ranks, of one that ended alone


class Tracing:
    """The trace of one start; made before whatever else holds the communicator, so that all of it knows of the trace.

    say: tells people what became of it, on rank 0.   Its `with` holds the warm-up and the run. Collective, as is `at`.
    """

    def __init__(self, config: Config, communicator: Communicator, say: Callable[[str], None]):
        self.config, self.communicator, self.say = config, communicator, say
        self.trace = communicator.trace = Trace(communicator.rank)
        self.clock = Clock()
        self.folder = Path(config.run.folder)
        self.window: tuple[int, int] | None = None  # [first, last) of the run's steps, once it is known
        self.step = -1  # the last that began
        self.done = False

    def __enter__(self) -> Tracing:
        self._measure()
        return self

    def at(self, step: int) -> None:
        """Step `step` of the run is about to begin."""
        first, last = self.config.run.window
        self.window = self.window or (step + first, step + last)
        if step == self.window[0]:
            self._open()
        elif step == self.window[1]:
            self._close()
        self.step = step

    def compiled(self, name: str, seconds: float | None, from_cache: bool) -> None:
        """A kernel is ready; a listener of kernels.cpu.compile."""
        if seconds is not None and not self.done:
            self.trace.past("compile", f"{'load' if from_cache else 'compile'} {name}", seconds, "compile")

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        together = error is None or getattr(error, "agreed", False) or self.communicator.size == 1
        if not self.done:
            self._close() if together else self._leave()

    def _open(self) -> None:
        """What an earlier start has left is not this one's trace."""
        with suppress(OSError):
            self._own().unlink(missing_ok=True)
            if self.communicator.rank == 0:
                (self.folder / NAME).unlink(missing_ok=True)
        self._measure()
        self.trace.recording = True

    def _close(self) -> None:
        self.done = True
        with self._uncounted():
            mine = self._piece()
            self.clock.measure(self.communicator, self.trace.clock)
            data = np.frombuffer(zlib.compress(json.dumps(self._shared(mine)).encode(), 1), np.uint8)
            ends = np.cumsum(self.communicator.allgather_obj(len(data), "trace"))
            pieces = gather(self.communicator, data, "trace")
        if pieces is not None:
            whole = [json.loads(zlib.decompress(piece.tobytes())) for piece in np.split(pieces, ends[:-1])]
            self._write(self.folder / NAME, whole)

    def _leave(self) -> None:
        """This rank alone: no clock to ask, nobody to tell."""
        self.done = True
        self._write(self._own(), [self._shared(self._piece())])

    def _own(self) -> Path:
        return self.folder / OWN.format(self.communicator.rank)

    def _measure(self) -> None:
        with self._uncounted():
            self.clock.measure(self.communicator, self.trace.clock)

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        """What a run has sent does not depend on who watches it."""
        counters = self.communicator.counters
        before = counters.messages, counters.bytes
        with patient(self.communicator):
            yield
        counters.messages, counters.bytes = before

    def _piece(self) -> dict[str, Any]:
        """What this rank recorded, by its own clock; nothing is recorded from here on."""
        facts = {"rank": self.communicator.rank, "name": socket.gethostname(), "lost": self.trace.lost}
        return {**facts, "records": self.trace.take()}

    def _shared(self, piece: dict[str, Any]) -> dict[str, Any]:
        """The same by rank 0's clock."""
        shared = self.clock.shared
        records = [one._replace(start=shared(one.start), stop=shared(one.stop)) for one in piece["records"]]
        return {**piece, "records": records, "clock": self.clock.facts()}

    def _write(self, path: Path, pieces: list[dict[str, Any]]) -> None:
        """A trace that cannot be written is said, and ends nothing."""
        try:
            publish(path, lambda file: chrome.write(file, chrome.merge(pieces, self._facts(pieces))))
            where = f"{path} ({size(path.stat().st_size)})"
            self.say(f"{self._held(pieces)}: {where}, for ui.perfetto.dev or shoal trace summary")
        except OSError as error:
            self.say(f"no trace: {path} cannot be written: {error.strerror}")

    def _steps(self) -> tuple[int, int]:
        """[first, last) of the steps that were recorded."""
        first, last = self.window or (0, 0)
        return min(first, self.step + 1), min(last, self.step + 1)

    def _held(self, pieces: list[dict[str, Any]]) -> str:
        first, last = self._steps()
        if last <= first:
            return f"trace without a step, the run ended before run.trace = {self.config.run.trace}"
        lost = sum(piece["lost"] for piece in pieces)
        return f"trace of steps {first} to {last - 1}" + (f", without {lost:,} spans that had no room" if lost else "")

    def _facts(self, pieces: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "shoal": run.versions()["shoal"],
            "steps": self._steps(),
            "ranks": self.communicator.size,
            "stages": self.config.parallel.mesh.get("pipeline", 1),
            "schedule": self.config.parallel.schedule,
            "micro_batches": self.config.train.micro_batches,
            "clocks": {str(piece["rank"]): piece["clock"] for piece in pieces},
            "lost": [piece["lost"] for piece in pieces],
        }
