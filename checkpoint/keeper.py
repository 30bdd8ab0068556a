"""Keeper: what rank 0 does with the run folder for all ranks, as one process that speaks to nobody.

It holds the lease, says under which names a save may write, commits it, and removes what is not kept. The order within
a commit is what every promise rests on: nothing is named before the lease is known to be ours, nothing is removed before
the manifest is durable.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError
from . import commit, history, manifest, shard
from .generation import Generation
from .lease import Lease
from .manifest import File, Manifest, Merit


class Keeper:
    """Keeps `folder` until release().   keep, reject: as the Store has them.

    CheckpointError if the folder cannot be written or another living job holds it.
    """

    def __init__(self, folder: Path, keep: int, reject: history.Reject):
        self.folder, self.keep, self.reject = folder, keep, reject
        self._distrusted: set[Path] = set()
        with commit.writing(folder):
            (folder / "generations").mkdir(parents=True, exist_ok=True)
            self.lease = Lease(folder)
            history.sweep(folder)

    def prepare(self, path: Path, ranks: int) -> int:
        """The lowest number whose file names are free in `path`: 1, or more where this step was saved before."""
        self.lease.check()
        history.respect(path)
        with commit.writing(path):
            path.mkdir(exist_ok=True)
            commit.sync_folder(path.parent)
            taken = {file.name for file in path.iterdir()}
        return next(n for n in count(1) if not any(shard.name(rank, n) in taken for rank in range(ranks)))

    def commit(
        self, path: Path, ranks: int, meta: dict[str, Any], merit: Merit | None, files: tuple[File, ...]
    ) -> Path:
        """Lets the generation in `path` be believed, which it returns, and removes those that are not kept any more."""
        for file in files:
            if problem := shard.misfit(path, file):
                cure = "it was there when its rank had written it: see who else removes files there"
                raise CheckpointError(problem, cure)
        serial = 1 + max((known.serial for known, _ in history.readable(self.folder)), default=0)
        written = datetime.now(UTC).isoformat(timespec="seconds")
        text = Manifest(serial, meta["step"], ranks, written, meta, files, merit).text()
        self.lease.check()
        with commit.writing(path):
            commit.publish(path / manifest.NAME, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            history.point(self.folder, history.LATEST, path)
            self._distrusted.discard(path)
            self._prune()
            history.sweep(self.folder)
        return path

    def _prune(self) -> None:
        ranking = history.by_merit(history.readable(self.folder))
        best = next((known for _, known in ranking if known not in self._distrusted), None)
        if best:
            history.point(self.folder, history.BEST, best)
        history.prune(self.folder, self.keep, self._distrusted, spare=best)

    def clean_up(self) -> None:
        """Removes what a save that failed has written."""
        with suppress(OSError):
            if self.lease.held():
                history.sweep(self.folder)

    def newest(self) -> Generation | None:
        return history.newest(self.folder, self._reject)

    def _reject(self, path: Path, problem: str) -> None:
        self._distrusted.add(path)
        self.reject(path, problem)

    def release(self) -> None:
        self.lease.release()
