"""The loop: feed, drain, evaluate, save. It knows no strategy, no layer and no rank but its own.

    for epoch:   for batch: feed          drain, evaluate, save          the same calls in the same order on every rank

Everything that could differ between two runs of the same configuration happens before step 0: data are opened and
compared between the ranks, kernels compiled, a checkpoint loaded. Saves fall between batches, after drain(), and the
position in the data is the number of batches fed, so a run that is cut and resumed takes the same batches with the same
random bits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..checkpoint.store import Store
from ..core.events import Events
from ..mpi.strategy import Fetch, Report, Strategy
from . import run
from .augment import augmented
from .build import Job
from .pace import Pace
from .progress import Silent
from .sampler import in_batches


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what it left behind."""

    def __init__(self, problem: str, cure: str):
        super().__init__(problem)
        self.problem, self.cure = problem, cure


class Loop:
    """One run of a job. fed: global batches fed since the very beginning, over all starts."""

    def __init__(self, job: Job, store: Store, screen: Silent):
        self.job, self.store, self.screen = job, store, screen
        self.events = Events(None, job.comm.rank)  # until the run folder is known to be ours
        self.strategy, self.sampler = job.strategy, job.sampler
        self.fed = self.saved = 0
        self.newest = ""  # the folder of the last save
        self.pace = Pace(total=job.config.train.epochs * len(job.sampler))
        self.test: Report | None = None

    def resume(self) -> bool:
        """Continues from the newest believable generation; False where there is none."""
        generation = self.store.newest()
        if generation is None:
            return False
        meta, digest = generation.meta, self.job.dataset.digest
        run.same_run(generation.path, meta["config"], meta["data"], self.job.config, digest)
        self.strategy.load_state(generation.read, meta)
        self.fed = self.saved = self.pace.done = generation.meta["fed"]
        self.newest = str(generation.path)
        return True

    def warm_up(self) -> None:
        """Makes every kernel ready."""
        self.sampler.order(0)
        sizes = {len(batch) for batch in self._test_batches()}.union(self.sampler.sizes)
        self.strategy.warm_up(sorted(sizes, reverse=True))

    def run(self) -> None:
        """Trains to the end of the last epoch; Interrupted on Ctrl-C."""
        try:
            epoch, start = self.sampler.position(self.fed)
            for number in range(epoch, self.job.config.train.epochs):
                self._epoch(number, start)
                start = 0
            if self.test is None:  # resumed at the end
                self._evaluate()
        except KeyboardInterrupt:
            kept = f"the newest checkpoint is {self.newest}" if self.newest else "there is no checkpoint yet"
            cure = "the same command with --resume continues from there" if self.newest else ""
            raise Interrupted(f"interrupted after step {self.fed} of {self.pace.total}; {kept}", cure) from None

    def _epoch(self, epoch: int, start: int) -> None:
        settings = self.job.config.checkpoint
        name = f"epoch {epoch + 1}/{self.job.config.train.epochs}"
        batches = self.sampler.batches(epoch, start)
        losses: list[Report] = []
        samples = augmented(self.job.dataset.train, self.job.config.data, self.job.config.train.seed, epoch)
        with self.job.prefetch.reading([self.strategy.needs(batch) for batch in batches], samples.read):
            for batch in batches:
                losses += self._feed(name, batch)
                if settings.every_steps and self.fed % settings.every_steps == 0:
                    losses += self._drain(name)
                    self._save()
        losses += self._drain(name)
        test = self._evaluate()
        loss = joined(losses).loss
        self.events.write("epoch", epoch=epoch, loss=loss, test_loss=test.loss, accuracy=accuracy(test))
        self.screen.say(f"{name}: loss {loss:.4f}, test loss {test.loss:.4f}, test accuracy {accuracy(test):.2%}")
        last = epoch + 1 == self.job.config.train.epochs
        if last or (settings.every_epochs and (epoch + 1) % settings.every_epochs == 0):
            self._save()

    def _feed(self, name: str, batch: np.ndarray) -> list[Report]:
        reports = self._timed(name, lambda: self.strategy.feed(batch))
        self.fed += 1
        return reports

    def _drain(self, name: str) -> list[Report]:
        return self._timed(name, self.strategy.drain)

    def _timed(self, name: str, work: Any) -> list[Report]:
        """Runs feed or drain, and keeps the accounts of where the time went."""
        counters, prefetch = self.job.comm.counters, self.job.prefetch
        began, blocked, idle = time.perf_counter(), counters.seconds, prefetch.waited
        reports: list[Report] = work()
        spent = (time.perf_counter() - began, counters.seconds - blocked, prefetch.waited - idle)
        self.pace.spend(*spent)
        for report in reports:
            self.pace.add(report)
            fields = {"step": report.step, "samples": report.samples, "loss": report.loss}
            self.events.write("step", **fields, seconds=spent[0], communication=spent[1], idle=spent[2])
        if reports:
            self.screen.step(name, self.pace)
        return reports

    def _test_batches(self) -> list[np.ndarray]:
        return in_batches(np.arange(len(self.job.dataset.test)), self.job.config.train.batch)

    def _evaluate(self) -> Report:
        self.test = evaluate(self.strategy, self._test_batches(), self.job.dataset.test.read)
        return self.test

    def _save(self) -> None:
        if self.saved == self.fed:
            return
        state = self.strategy.state()
        facts = {"fed": self.fed, "config": asdict(self.job.config), "data": self.job.dataset.digest}
        self.newest = str(self.store.save(replace(state, meta={**state.meta, **facts})))
        self.saved = self.fed
        self.events.write("checkpoint", step=self.fed, folder=self.newest)


def evaluate(strategy: Strategy, batches: Sequence[np.ndarray], fetch: Fetch) -> Report:
    """Loss and hits over all of these batches, as one Report."""
    return joined([strategy.evaluate(batch, fetch) for batch in batches])


def joined(reports: Sequence[Report]) -> Report:
    """Several batches as one; the loss of none is a NaN."""
    samples, right, mass = (sum(getattr(report, name) for report in reports) for name in ("samples", "right", "mass"))
    loss = sum(report.loss * report.mass for report in reports) / mass if mass else float("nan")
    return Report(reports[-1].step if reports else 0, samples, loss, right, mass)


def accuracy(report: Report) -> float:
    return report.right / report.mass
