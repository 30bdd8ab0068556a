"""The loop: feed, drain, evaluate, save. It knows no strategy, no layer and no rank but its own.

    for epoch:   for batch: feed          drain, evaluate, save          the same calls in the same order on every rank

Everything that could differ between two runs of the same configuration happens before step 0: data are opened and
compared between the ranks, kernels compiled, a checkpoint loaded. Saves fall between batches, after drain(), and the
position in the data is the number of batches fed, so a run that is cut and resumed takes the same batches with the same
random bits. What may change that course (a signal, the clock) comes with the pulse, between two steps or two batches of an
evaluation, to all ranks alike: Asked then ends whichever loop it came in, and the state is saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from math import isfinite

import numpy as np

from ..checkpoint.store import Store
from ..core.errors import Diverged, Preempted
from ..core.events import Events
from ..core.spec import State
from ..core.trace import span
from ..mpi.strategy import Report
from .augment import augmented
from .build import Job, outputs
from .ending import Asked, Interrupted
from .evaluation import evaluate
from .mean import Mean
from .metrics import Figures, words
from .pace import Pace
from .progress import Silent
from .pulse import Pulse, Word, now
from .resume import compare
from .saver import Saver
from .signals import Wishes
from .tracing import Tracing
from .watch import Watch


class Loop:
    """One run of a job. fed: global batches fed since the very beginning, over all starts.

    wishes: signals of this rank.   machines: of all ranks.   began: when the command did, by pulse.now().   tracing: if asked for.
    judged: epochs that were evaluated.   stopped: why it ended before the last epoch; "" where it did not.
    """

    def __init__(
        self,
        job: Job,
        store: Store,
        screen: Silent,
        wishes: Wishes,
        machines: int,
        began: float,
        tracing: Tracing | None = None,
    ):
        self.tracing, self.trace = tracing, job.comm.trace
        self.job, self.store, self.screen, self.wishes = job, store, screen, wishes
        self.strategy, self.sampler = job.strategy, job.sampler
        self.fed = self.judged = 0
        self.pace = Pace(total=job.config.train.epochs * len(job.sampler))
        self.watch = Watch(job.config.checkpoint.best or "loss", job.config.train.patience)
        self.saver = Saver(job.config.checkpoint, store, Events(None, job.comm.rank), machines, began)
        self.pulse = Pulse(job.comm, wishes, began, due=self.saver.rhythm.due, writing=lambda: store.writing)
        self.stopped = ""
        self.mean = Mean()  # of the epoch's batches so far
        self.figures: Figures = {}  # after `evaluated` batches
        self.evaluated = -1

    @property
    def events(self) -> Events:
        """They go nowhere until the run folder is known to be ours."""
        return self.saver.events

    @events.setter
    def events(self, events: Events) -> None:
        self.saver.events = events

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
        self.saver.rhythm.load_state(meta["life"], self.store.inherited)
        self.fed = self.saver.step = self.pace.done = meta["fed"]
        self.judged = meta["judged"]
        self.saver.newest = str(generation.path)
        return True

    def warm_up(self) -> None:
        """Makes every kernel ready."""
        began = now()
        self.job.warm_up()
        if self.trace:
            self.trace.past("warm-up", "warm-up", now() - began)

    def run(self) -> None:
        """Trains to the end of the last epoch, or until there is a reason to stop.

        Preempted after SIGUSR1 or SIGTERM, Interrupted after Ctrl-C: saved, all ranks after the same step.
        """
        self.saver.rhythm.saved()  # time counts from here
        self.wishes.savable = True
        try:
            self._train()
        except Asked as asked:
            self._end_as_asked(asked)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted {self._place()}; {self.saver.kept()}", self.saver.cure()) from None

    def _train(self) -> None:
        self._look(self.pulse.beat(steps=0))  # signals that came during the start
        epoch, start = self.sampler.position(self.fed)
        if self.judged < epoch:  # the checkpoint lies between the end of an epoch and its verdict
            self._epoch_done(epoch - 1)
        self.stopped = self._reason() if self.watch.over else ""  # resumed with nothing changed
        while epoch < self.job.config.train.epochs and not self.stopped:
            self._epoch(epoch, start)
            epoch, start = epoch + 1, 0
        if self.stopped:
            self.screen.say(f"stopped {self._place()}: {self.stopped}")
            self.events.write("stopped", step=self.fed, reason=self.stopped)
        self._save()
        if self.evaluated != self.fed:  # stopped within an epoch, or resumed at the end
            self._evaluate()
        self.saver.finish()

    def _end_as_asked(self, asked: Asked) -> None:
        """Saves what there is, and says what to do."""
        self._drain("ending")
        self._save()
        self.saver.finish()
        ranks = self.job.comm.size
        reason = f"{asked.signal} to {asked.ranks} of {ranks} ranks" if ranks > 1 else asked.signal
        self.events.write("stopped", step=self.fed, reason=reason)
        end = f"{self._place()}; {self.saver.kept()}"
        if asked.signal == "SIGINT":
            raise Interrupted(f"interrupted {end}", self.saver.cure(), agreed=True)
        raise Preempted(f"ended by {reason} {end}", self.saver.cure())

    def _place(self) -> str:
        return f"after step {self.fed} of {self.pace.total}"

    def _look(self, word: Word | None) -> bool:
        """Whether time asks for a save; Asked where a signal asks to end."""
        if word and word.asked:
            raise Asked(word.asked, word.signals[word.asked])
        return self.saver.by_time(word)

    def _epoch(self, epoch: int, start: int) -> None:
        name = self._name(epoch)
        batches = self.sampler.batches(epoch, start)
        self.mean = self.mean if start else Mean()
        samples = augmented(self.job.dataset.train, self.job.config.data, self.job.config.train.seed, epoch)
        with self.job.prefetch.reading([self.strategy.needs(batch) for batch in batches], samples.read):
            for batch in batches:
                self._feed(name, batch)
                word = self.pulse.beat()
                due = self._look(word) or self.saver.by_steps(self.fed)
                if due and self.sampler.position(self.fed)[0] == epoch:  # else once the epoch is judged
                    self._drain(name)
                    self._save()
                if word and self._over(word):
                    break
        self._drain(name)
        if self.sampler.position(self.fed)[0] > epoch:
            self._epoch_done(epoch)
        self.stopped = self._reason()

    def _name(self, epoch: int) -> str:
        return f"epoch {epoch + 1}/{self.job.config.train.epochs}"

    def _epoch_done(self, epoch: int) -> None:
        figures = self._evaluate()
        self.events.write("epoch", epoch=epoch, loss=self.mean.loss, **figures)
        self.screen.say(
            f"{self._name(epoch)}: loss {self.mean.loss:.4f}, " + ", ".join(" ".join(pair) for pair in words(figures))
        )
        self.judged = epoch + 1
        if self.watch.see(figures, self.fed) and self.job.config.checkpoint.best:
            self._save(best=True)
        elif self.saver.by_steps(self.fed) or self.saver.by_epochs(self.judged):
            self._save()

    def _reason(self) -> str:
        """Why to stop here; "" where there is none."""
        if self.fed >= self.pace.total:
            return ""
        if self.watch.over:
            return f"no better {self.watch.figure} for {self.watch.waiting} epochs"
        word = self.pulse.beat(steps=0)
        self._look(word)
        minutes = self.job.config.train.minutes
        return f"the time limit of {minutes:g} minutes" if word and self._over(word) else ""

    def _over(self, word: Word) -> bool:
        return 0 < 60 * self.job.config.train.minutes <= word.seconds

    def _feed(self, name: str, batch: np.ndarray) -> None:
        if self.tracing:
            self.tracing.at(self.fed)
        self._timed(name, f"step {self.fed}", lambda: self.strategy.feed(batch))
        self.fed += 1

    def _drain(self, name: str) -> None:
        self._timed(name, "drain", self.strategy.drain)

    def _timed(self, name: str, what: str, work: Callable[[], list[Report]]) -> None:
        """Runs feed or drain, and keeps the accounts of where the time went."""
        counters, prefetch = self.job.comm.counters, self.job.prefetch
        began, blocked, idle = time.perf_counter(), counters.seconds, prefetch.waited
        with span(self.trace, "step", what):
            reports = work()
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
            cure = "lower optim.lr, warm up (optim.warmup_steps) or clip (optim.clip_norm)"
            raise Diverged(f"the loss of step {report.step} is {report.loss}; {self.saver.kept()}", cure)

    def _evaluate(self) -> Figures:
        test, metrics = self.job.dataset.test, self.job.metrics
        with span(self.trace, "evaluate", "evaluate"):
            self.figures = evaluate(
                self.strategy, self.job.test_batches(), test.read, metrics, lambda: self._look(self.pulse.beat())
            )
        self.evaluated = self.fed
        return self.figures

    def _save(self, best: bool = False) -> None:
        self.saver.save(self.fed, self._state, self.watch.merit if best else None)

    def _state(self) -> State:
        """The strategy's state, and what the loop must know to go on from it."""
        state, data = self.strategy.state(), self.job.dataset
        facts = {"fed": self.fed, "judged": self.judged, "watch": self.watch.state(), "epoch": asdict(self.mean)}
        facts |= {"life": self.saver.rhythm.state(), "config": asdict(self.job.config), "data": data.digest}
        facts["epochs"] = self.fed / len(self.sampler)  # for people
        inference = {"shape": list(data.shape), "classes": data.classes, "outputs": outputs(data)}
        return replace(state, meta={**state.meta, **facts, **inference})
