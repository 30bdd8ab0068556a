"""The checkpoint store of a running job: save and load as collectives.

One save, and where it may die:

    every rank   who holds what -> who writes what; the step is the same everywhere
    every rank   what it writes is copied                              | begin() ends here, and training may go on
    every rank   its file, by commit.publish, and its sha256           | killed here: debris, swept by the next Store
    every rank   all went well?                                        | failed here: swept, same error everywhere
    rank 0       the lease is still ours; manifest.json                | <- the commit: before it nothing has changed
    rank 0       latest, best; all but the last K and the best removed | killed here: finished by the next save

Here is what the ranks agree upon. A rank's own part of it is in writer.py, rank 0's part for all in keeper.py. A file is
always written by a thread: saves in the background differ in who waits for it, and in that the arrays are copied first.
Where the ranks do not share the folder, rank 0 writes for all (private.py).

A step may be saved again: its files get names that are free ("rank-0000-2.h5") and the new manifest replaces the old
one in one rename, so one of the two is complete at every instant.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError, UsageError
from ..core.spec import State
from ..mpi.communicator import Communicator
from . import history, manifest, private
from .agreement import on_rank_0, together
from .keeper import Keeper
from .manifest import File, Merit
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
        self.keeper: Keeper | None = None  # rank 0's, for all
        self.cost = self._spent = 0.0
        self._begun: Callable[[Keeper, tuple[File, ...]], Path] | None = None  # what commits the save under way

        def keep_folder() -> None:
            self.keeper = Keeper(self.folder, keep, reject)

        on_rank_0(communicator, "checkpoint folder", keep_folder)
        try:
            self.blind = private.blind(communicator, self.folder)
        except CheckpointError:
            self._release()
            raise
        self._writer = Writer(communicator, self.blind)

    def _ask(self, name: str, act: Callable[[Keeper], Any]) -> Any:
        """What rank 0's keeper answers, or its error, on every rank."""

        def ask() -> Any:
            assert self.keeper
            return act(self.keeper)

        return on_rank_0(self.communicator, name, ask)

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
            path = self._ask("checkpoint commit", lambda keeper: str(complete(keeper, files)))
        self.cost = self._spent + time.perf_counter() - since
        return Path(path)

    def _start(self, state: State, merit: Merit | None, background: bool) -> None:
        if merit and not isfinite(merit[1]):
            raise UsageError(f"a merit of {merit[1]} cannot be compared", "save without a merit")
        self.finish()
        since, ranks = time.perf_counter(), self.communicator.size
        step, parts = self._agree(state)
        path = history.place(self.folder, step)
        with self._undone():
            edition = self._ask("checkpoint folder", lambda keeper: keeper.prepare(path, ranks))
            self._writer.start(path, edition, state, parts, hold=background)
        meta = deepcopy(state.meta) if background else state.meta
        self._begun = lambda keeper, files: keeper.commit(path, ranks, meta, merit, files)
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

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Removes what a save that fails has written."""
        try:
            yield
        except CheckpointError:
            self._ask("checkpoint clean-up", Keeper.clean_up)
            raise

    def newest(self) -> SharedGeneration | None:
        """The last committed generation that verifies; None where nothing was ever saved. The same on every rank.

        `reject` hears of each that is passed over. If there are some and none verifies, CheckpointError.
        """
        return SharedGeneration.open(self.communicator, lambda: self.keeper.newest() if self.keeper else None)

    @property
    def inherited(self) -> bool:
        """Whether the job that wrote here before was killed; known to rank 0."""
        return self.keeper is not None and self.keeper.lease.inherited

    def close(self) -> None:
        """Releases the lease, once this rank's thread has ended; what was begun and not finished is not committed.

        Not collective, as after an error the other ranks may be anywhere.
        """
        self._writer.close()
        self._release()

    def _release(self) -> None:
        if self.keeper:
            self.keeper.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
