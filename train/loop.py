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
from math import isfinite
from typing import Any

import numpy as np

from ..checkpoint import history
from ..checkpoint.store import Store
from ..core.errors import Diverged
from ..core.events import Events
from ..mpi.strategy import Fetch, Report, Strategy
from . import limit
from .augment import augmented
from .build import Job, outputs
from .mean import Mean
from .metrics import Figures, Metrics, words
from .pace import Pace
from .progress import Silent
from .resume import compare
from .sampler import in_batches
from .watch import Watch


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what it left behind."""

    def __init__(self, problem: str, cure: str):
        super().__init__(problem)
        self.problem, self.cure = problem, cure


class Loop:
    """One run of a job. fed: global batches fed since the very beginning, over all starts.

    began: when the command did, by limit.now().   stopped: why it ended before the last epoch; "" where it did not.
    """

    def __init__(self, job: Job, store: Store, screen: Silent, began: float):
        self.job, self.store, self.screen = job, store, screen
        self.events = Events(None, job.comm.rank)  # until the run folder is known to be ours
        self.strategy, self.sampler = job.strategy, job.sampler
        self.fed = self.saved = 0
        self.newest = ""  # the folder of the last save
        self.pace = Pace(total=job.config.train.epochs * len(job.sampler))
        self.watch = Watch(job.config.checkpoint.best or "loss", job.config.train.patience)
        self.limit = limit.TimeLimit(job.comm, job.config.train.minutes, began)
        self.stopped = ""
        self.mean = Mean()  # of the epoch's batches so far
        self.figures: Figures = {}  # after `evaluated` batches
        self.evaluated = -1

    def resume(self) -> bool:
        """Continues from the newest believable generation; False where there is none."""
        generation = self.store.newest()
        if generation is None:
            return False
        meta = generation.meta
        for line in [f"resuming {generation.path}", *compare(generation, self.job)]:
            self.screen.say(line)
        self.strategy.load_state(generation.read, meta)
        self.watch.load_state(meta["watch"])
        self.mean = Mean(**meta["epoch"])
        self.fed = self.saved = self.pace.done = meta["fed"]
        self.newest = str(generation.path)
        return True

    def warm_up(self) -> None:
        """Makes every kernel ready."""
        self.sampler.order(0)
        sizes = {len(batch) for batch in self._test_batches()}.union(self.sampler.sizes)
        self.strategy.warm_up(sorted(sizes, reverse=True))

    def run(self) -> None:
        """Trains to the end of the last epoch, or until there is a reason to stop; Interrupted on Ctrl-C."""
        try:
            epoch, start = self.sampler.position(self.fed)
            self.stopped = self._reason() if self.watch.over else ""  # resumed with nothing changed
            while epoch < self.job.config.train.epochs and not self.stopped:
                self._epoch(epoch, start)
                epoch, start = epoch + 1, 0
            if self.stopped:
                self.screen.say(f"stopped after step {self.fed} of {self.pace.total}: {self.stopped}")
                self.events.write("stopped", step=self.fed, reason=self.stopped)
            self._save()
            if self.evaluated != self.fed:  # stopped within an epoch, or resumed at the end
                self._evaluate()
        except KeyboardInterrupt:
            saved = history.readable(self.store.folder)  # a save may have been complete, but not yet known here
            kept = f"the newest checkpoint is {saved[0][1]}" if saved else "there is no checkpoint yet"
            cure = "the same command with --resume continues from there" if saved else ""
            raise Interrupted(f"interrupted after step {self.fed} of {self.pace.total}; {kept}", cure) from None

    def _epoch(self, epoch: int, start: int) -> None:
        name = f"epoch {epoch + 1}/{self.job.config.train.epochs}"
        batches = self.sampler.batches(epoch, start)
        self.mean = self.mean if start else Mean()
        samples = augmented(self.job.dataset.train, self.job.config.data, self.job.config.train.seed, epoch)
        with self.job.prefetch.reading([self.strategy.needs(batch) for batch in batches], samples.read):
            for batch in batches:
                self._feed(name, batch)
                if self._due() and self.sampler.position(self.fed)[0] == epoch:  # else once the epoch is judged
                    self._drain(name)
                    self._save()
                if self.limit.over(steps=1):
                    break
        self._drain(name)
        if self.sampler.position(self.fed)[0] > epoch:
            self._epoch_done(epoch, name)
        self.stopped = self._reason()

    def _epoch_done(self, epoch: int, name: str) -> None:
        settings = self.job.config.checkpoint
        figures = self._evaluate()
        self.events.write("epoch", epoch=epoch, loss=self.mean.loss, **figures)
        self.screen.say(f"{name}: loss {self.mean.loss:.4f}, " + ", ".join(" ".join(pair) for pair in words(figures)))
        if self.watch.see(figures, self.fed) and settings.best:
            self._save(best=True)
        elif self._due() or (settings.every_epochs and (epoch + 1) % settings.every_epochs == 0):
            self._save()

    def _due(self) -> bool:
        every = self.job.config.checkpoint.every_steps
        return bool(every) and self.fed % every == 0

    def _reason(self) -> str:
        """Why to stop here; "" where there is none."""
        if self.fed >= self.pace.total:
            return ""
        if self.watch.over:
            return f"no better {self.watch.figure} for {self.watch.waiting} epochs"
        minutes = self.job.config.train.minutes
        return f"the time limit of {minutes:g} minutes" if self.limit.over() else ""

    def _feed(self, name: str, batch: np.ndarray) -> None:
        self._timed(name, lambda: self.strategy.feed(batch))
        self.fed += 1

    def _drain(self, name: str) -> None:
        self._timed(name, self.strategy.drain)

    def _timed(self, name: str, work: Any) -> None:
        """Runs feed or drain, and keeps the accounts of where the time went."""
        counters, prefetch = self.job.comm.counters, self.job.prefetch
        began, blocked, idle = time.perf_counter(), counters.seconds, prefetch.waited
        reports: list[Report] = work()
        spent = (time.perf_counter() - began, counters.seconds - blocked, prefetch.waited - idle)
        self.pace.spend(*spent)
        self.mean.add(reports)
        for report in reports:
            self.pace.add(report)
            fields = {"step": report.step, "samples": report.samples, "loss": report.loss}
            self.events.write("step", **fields, seconds=spent[0], communication=spent[1], idle=spent[2])
            self._finite(report)
        if reports:
            self.screen.step(name, self.pace)

    def _finite(self, report: Report) -> None:
        """Diverged unless the loss is a number: the same on all ranks, and before such weights are saved."""
        if not isfinite(report.loss):
            kept = f"the newest checkpoint is {self.newest}" if self.newest else "there is no checkpoint yet"
            cure = "lower optim.lr, warm up (optim.warmup_steps) or clip (optim.clip_norm)"
            raise Diverged(f"the loss of step {report.step} is {report.loss}; {kept}", cure)

    def _test_batches(self) -> list[np.ndarray]:
        return in_batches(np.arange(len(self.job.dataset.test)), self.job.config.train.batch)

    def _evaluate(self) -> Figures:
        test, metrics = self.job.dataset.test, self.job.metrics
        self.figures = evaluate(self.strategy, self._test_batches(), test.read, metrics)
        self.evaluated = self.fed
        return self.figures

    def _save(self, best: bool = False) -> None:
        """A generation of the state as it is, unless there is one; the best is saved again, with its merit."""
        if self.saved == self.fed and not best:
            return
        state, data = self.strategy.state(), self.job.dataset
        facts = {"fed": self.fed, "config": asdict(self.job.config), "data": data.digest}
        facts |= {"watch": self.watch.state(), "epoch": asdict(self.mean)}
        samples = {
            "shape": list(data.shape),
            "classes": data.classes,
            "outputs": outputs(data),
        }  # all that inference must know of them
        state = replace(state, meta={**state.meta, **facts, **samples})
        self.newest = str(self.store.save(state, self.watch.merit if best else None))
        self.saved = self.fed
        self.events.write("checkpoint", step=self.fed, folder=self.newest)


def evaluate(strategy: Strategy, batches: Sequence[np.ndarray], fetch: Fetch, metrics: Metrics) -> Figures:
    """The loss over all of these batches, and what else is asked of them."""
    metrics.clear()
    mean = Mean()
    mean.add(strategy.evaluate(batch, fetch, metrics.observe) for batch in batches)
    return metrics.figures(mean.loss)
