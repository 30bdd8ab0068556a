"""Saver: what a run has saved and how, so that the loop only says "save".

A step is saved once. In the background (checkpoint.background) a save is begun after one step and committed between two
later ones, when the pulse has told that no rank is writing any more; whatever comes then, another save or the end, waits
for the one under way. What a save cost is what training waited for.
"""

from __future__ import annotations

from collections.abc import Callable

from ..checkpoint import history
from ..checkpoint.manifest import Merit
from ..checkpoint.store import Store
from ..core.events import Events
from ..core.spec import State
from ..core.trace import span
from .config import Checkpoint
from .pulse import Word
from .rhythm import Rhythm


class Saver:
    """newest: the folder of the last generation committed.   step: the last that was saved or begun, -1 before."""

    def __init__(self, settings: Checkpoint, store: Store, events: Events, machines: int, began: float):
        self.settings, self.store, self.events = settings, store, events
        self.rhythm = Rhythm(settings, machines, began)
        self.newest = ""
        self.step = -1
        self.under_way = False

    def by_steps(self, fed: int) -> bool:
        return self.settings.every_steps > 0 and fed % self.settings.every_steps == 0

    def by_epochs(self, done: int) -> bool:
        return self.settings.every_epochs > 0 and done % self.settings.every_epochs == 0

    def by_time(self, word: Word | None) -> bool:
        """Commits what all have written; whether time asks for the next save. A collective call, by all on one word."""
        if word is None or word.writing:
            return False
        self.finish()
        return word.due

    def save(self, fed: int, state: Callable[[], State], merit: Merit | None = None) -> None:
        """A generation of the state after `fed` batches, unless there is one; with a merit it is saved again."""
        if self.step == fed and not merit:
            return
        self.finish()
        with span(self.store.communicator.trace, "checkpoint", "save"):
            self.store.begin(state(), merit) if self.settings.background else self.store.save(state(), merit)
        self.step = fed
        self.rhythm.saved()
        if not self.settings.background:
            self._committed()
        self.under_way = self.settings.background

    def finish(self) -> None:
        """Commits what is under way, and waits for it if need be."""
        if self.under_way:
            self.under_way = False
            with span(self.store.communicator.trace, "checkpoint", "commit"):
                self.store.finish()
            self._committed()

    def _committed(self) -> None:
        self.newest = str(history.place(self.store.folder, self.step))
        self.rhythm.paid(self.store.cost)
        self.events.write("checkpoint", step=self.step, folder=self.newest, seconds=self.store.cost)

    def kept(self) -> str:
        """A sentence for whoever hears that the run ended."""
        newest = self._newest()
        return f"the newest checkpoint is {newest}" if newest else "there is no checkpoint yet"

    def cure(self) -> str:
        return "the same command with --resume continues from there" if self._newest() else ""

    def _newest(self) -> str:
        """A save may have been complete, but not yet known here; and ranks may not see the folder."""
        saved = history.readable(self.store.folder)
        return str(saved[0][1]) if saved else self.newest
