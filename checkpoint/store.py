"""The checkpoint store of a running job: save and load as collectives.

One save, and where it may die:

    every rank   who holds what -> who writes what; the step is the same everywhere
    every rank   what it writes is copied                              | begin() ends here, and training may go on
    every rank   its file, by commit.publish, and its sha256           | killed here: debris, swept by the next Store
    every rank   all went well?                                        | failed here: swept, same error everywhere
    rank 0       the lease is still ours; manifest.json                | <- the commit: before it nothing has changed
    rank 0       latest, best; all but the last K and the best removed | killed here: finished by the next save

A file is always written by a thread (writer.py). In the background or not differs in who waits for it, and whether the
arrays must be copied first. Where the ranks do not share the folder, rank 0 writes for all (private.py).

A step may be saved again: its files get names that are free ("rank-0000-2.h5") and the new manifest replaces the old
one in one rename, so one of the two is complete at every instant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError, UsageError
from ..core.spec import State
from ..mpi.communicator import Communicator
from . import commit, history, manifest, private, shard
from .agreement import on_rank_0, together
from .lease import Lease
from .manifest import File, Manifest, Merit
from .shared import SharedGeneration
from .slices import Slice, holdings, owners
from .writer import Writer


class Store:
    """Saves and loads the state of one job in `folder`, which it holds the lease of until close().

    keep: the newest generations kept, beside the best.   reject: hears on rank 0 of each generation that is passed over, and why.
    blind: the ranks that do not see rank 0's folder.   cost: seconds for which the last save kept this rank from training.

    begin, finish, save and newest are collective. CheckpointError, the same on every rank, if the folder cannot be
    written or another living job holds it.
    """

    def __init__(
        self,
        folder: Path | str,
        communicator: Communicator,
        keep: int = 2,
        reject: history.Reject = history.warn,
    ):
        if keep < 1:
            raise UsageError(f"a store that keeps {keep} generations keeps none", "give keep >= 1")
        self.folder = Path(folder)
        self.communicator = communicator
        self.keep = keep
        self.reject = reject
        self.lease: Lease | None = None  # rank 0 holds it for all
        self.cost = self._spent = 0.0
        self.blind: list[int] = []
        self._begun: Callable[[tuple[File, ...]], str] | None = None  # how the save under way is committed
        self._distrusted: set[Path] = set()
        try:
            on_rank_0(communicator, "checkpoint folder", self._open)
            self.blind = private.blind(communicator, self.folder)
        except CheckpointError:
            self._release()
            raise
        self._writer = Writer(communicator, self.blind)

    def _open(self) -> None:
        with commit.writing(self.folder):
            (self.folder / "generations").mkdir(parents=True, exist_ok=True)
            self.lease = Lease(self.folder)
            history.sweep(self.folder)

    @property
    def remark(self) -> str:
        """What people should know of the folder; "" if all ranks share it."""
        if not self.blind:
            return ""
        ranks = f"rank{'s' * (len(self.blind) > 1)} {', '.join(map(str, self.blind))}"
        return f"{ranks} and rank 0 do not share {self.folder}: rank 0 writes the checkpoints of all"

    def save(self, state: State, merit: Merit | None = None) -> Path:
        """Commits one generation; its folder, as rank 0 names it.   state.meta needs "step", the same on every rank.

        merit: (figure, value), the larger the better: the generation of most merit is never removed. It lies with the
        manifest, so which one is the best is never in doubt, and a better one replaces it by being committed.

        On failure CheckpointError, and the earlier generations are as they were.
        """
        self._start(state, merit, background=False)
        path = self.finish()
        assert path
        return path

    def begin(self, state: State, merit: Merit | None = None) -> None:
        """Starts a save that `finish` completes: the state may change as soon as this returns.   merit: as in `save`.

        A save under way is finished before. Where ranks do not share the folder, those other than rank 0 have their
        part on its disk when this returns; see private.py.
        """
        self._start(state, merit, background=True)

    @property
    def writing(self) -> bool:
        """Whether this rank is still writing what was begun; a `finish` would wait for it."""
        return self._writer.busy

    def finish(self) -> Path | None:
        """Commits what was begun, as `save` does, once all ranks have written it; None where nothing was begun."""
        if self._begun is None:
            return None
        since, complete, self._begun = time.perf_counter(), self._begun, None
        with self._undone():
            records = together(self.communicator, "checkpoint write", self._writer.result)
            files = tuple(File.parse(record) for written in records for record in written)
            path = on_rank_0(self.communicator, "checkpoint commit", lambda: complete(files))
        self.cost = self._spent + time.perf_counter() - since
        return Path(path)

    def _start(self, state: State, merit: Merit | None, background: bool) -> None:
        if merit and not isfinite(merit[1]):
            raise UsageError(f"a merit of {merit[1]} cannot be compared", "save without a merit")
        self.finish()
        since = time.perf_counter()
        step, parts = self._agree(state)
        path = history.place(self.folder, step)
        with self._undone():
            edition = on_rank_0(self.communicator, "checkpoint folder", lambda: self._prepare(path))
            self._writer.start(path, edition, state, parts, hold=background)
        meta = deepcopy(state.meta) if background else state.meta
        self._begun = partial(self._commit, path, step, meta, merit)
        self._spent = time.perf_counter() - since

    def _agree(self, state: State) -> tuple[int, list[list[Slice]]]:
        """The step, and what each rank writes."""

        def held() -> list[Any]:
            manifest.check_meta(state.meta)
            return [state.meta["step"], [one.fields() for one in holdings(state)]]

        answers = together(self.communicator, "checkpoint state", held)
        steps = [step for step, _ in answers]
        if any(step != steps[0] for step in steps):
            raise CheckpointError(f"the ranks save different steps: {steps}")
        return steps[0], owners([[Slice.parse(one) for one in slices] for _, slices in answers])

    def _prepare(self, path: Path) -> int:
        """The lowest number whose file names are free in `path`: 1, or more where this step was saved before."""
        assert self.lease
        self.lease.check()
        history.respect(path)
        with commit.writing(path):
            path.mkdir(exist_ok=True)
            commit.sync_folder(path.parent)
            taken = {file.name for file in path.iterdir()}
        ranks = range(self.communicator.size)
        return next(n for n in count(1) if not any(shard.name(rank, n) in taken for rank in ranks))

    def _commit(self, path: Path, step: int, meta: dict[str, Any], merit: Merit | None, files: tuple[File, ...]) -> str:
        assert self.lease
        for file in files:
            if problem := shard.misfit(path, file):
                raise CheckpointError(
                    problem, "it was there when its rank had written it: see who else removes files there"
                )
        serial = 1 + max((known.serial for known, _ in history.readable(self.folder)), default=0)
        written = datetime.now(UTC).isoformat(timespec="seconds")
        text = Manifest(serial, step, self.communicator.size, written, meta, files, merit).text()
        self.lease.check()
        with commit.writing(path):
            commit.publish(path / manifest.NAME, lambda temporary: temporary.write_text(text, encoding="utf-8"))
            history.point(self.folder, history.LATEST, path)
            self._distrusted.discard(path)
            ranking = history.by_merit(history.readable(self.folder))
            best = next((known for _, known in ranking if known not in self._distrusted), None)
            if best:
                history.point(self.folder, history.BEST, best)
            history.prune(self.folder, self.keep, self._distrusted, spare=best)
            history.sweep(self.folder)
        return str(path)

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Removes what a save that fails has written."""
        try:
            yield
        except CheckpointError:
            on_rank_0(self.communicator, "checkpoint clean-up", self._clean_up)
            raise

    def _clean_up(self) -> None:
        with suppress(OSError):
            if self.lease and self.lease.held():
                history.sweep(self.folder)

    def newest(self) -> SharedGeneration | None:
        """The last committed generation that verifies; None where nothing was ever saved. The same on every rank.

        `reject` hears of each that is passed over. If there are some and none verifies, CheckpointError.
        """
        return SharedGeneration.open(self.communicator, lambda: history.newest(self.folder, self._reject))

    def _reject(self, path: Path, problem: str) -> None:
        self._distrusted.add(path)
        self.reject(path, problem)

    @property
    def inherited(self) -> bool:
        """Whether the job that wrote here before was killed; known to rank 0."""
        return self.lease is not None and self.lease.inherited

    def close(self) -> None:
        """Releases the lease, once this rank's thread has ended; what was begun and not finished is not committed.

        Not collective, as after an error the other ranks may be anywhere.
        """
        self._writer.close()
        self._release()

    def _release(self) -> None:
        if self.lease:
            self.lease.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
