"""`shoal train` and `shoal eval` as functions of a configuration and a communicator, from arguments to last line.

The order is the order of blame: a folder that cannot be written and data that are not there are found before ranks are
compared, differences between ranks before anything is compiled, and all of it before the first step. The deadline
counts from the first step, because until then one rank compiles for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import history
from ..checkpoint.shared import SharedGeneration
from ..checkpoint.store import Store
from ..mpi import slurm
from ..mpi.communicator import Communicator
from ..nn.arena import Layout
from . import finetune, pulse, run
from .build import Job, build
from .config import Config, changed
from .evaluation import evaluate
from .loop import Loop
from .progress import Silent
from .signals import Wishes
from .summary import Scored, Summary, summarise
from .tracing import Tracing


@dataclass(frozen=True)
class Evaluation(Scored):
    """What eval found.   checkpoint: the generation it belongs to."""

    samples: int
    checkpoint: str

    def rows(self) -> list[tuple[str, str]]:
        return [
            *super().rows(),
            ("test samples", f"{self.samples:,}"),
            ("checkpoint", self.checkpoint),
        ]


def train(
    config: Config, comm: Communicator, screen: Silent, resume: bool = False, wishes: Wishes | None = None
) -> Summary:
    """Trains as configured, in the run folder; the summary is the same on every rank.

    wishes: signals, from whoever hears them.   Preempted, Interrupted: ended as they asked, and saved.
    """
    began = pulse.now()
    folder = run.prepare(config, resume, comm)
    tracing = Tracing(config, comm, screen.say) if config.run.trace else None
    with run.swept(folder), compiling(config, screen, *([tracing.compiled] if tracing else [])):
        job = build(config, comm)
        hosts = comm.allgather_obj(run.place(job.threads), "host map")
        machines = len({host["host"] for host in hosts})
        if comm.rank == 0:
            headline = _headline(job, len(hosts), machines)
            remarks = [*job.strategy.remarks(job.sampler.batch), *slurm.remarks(os.environ, comm.size)]
            for line in [headline, *_cut(job), *remarks]:
                screen.say(line)
        store = Store(folder, comm, keep=config.checkpoint.keep, reject=lambda path, problem: screen.say(problem))
        loop = Loop(job, store, screen, wishes or Wishes(), machines, began, tracing)
        with store:
            if store.remark:
                screen.say(store.remark)
            found = resume and loop.resume()
            if not found and (line := finetune.load(job)):
                screen.say(line)
            if resume and not found:
                screen.say(f"nothing to resume in {folder}: starting at step 0")
            events = loop.events = run.record(folder, job.config, hosts, comm.rank)
            events.write("start", ranks=comm.size, threads=job.threads, resume=resume)
            with tracing or nullcontext():
                loop.warm_up()
                events.write("ready", seconds=pulse.now() - began, step=loop.fed)
                screen.ready()
                comm.deadline = config.parallel.deadline
                loop.run()
    best = loop.watch.best if config.checkpoint.best else None
    memory = job.strategy.memory(), job.forecast.ranks[comm.rank].memory
    events.write("memory", measured=memory[0], planned=memory[1])
    summary = summarise(comm, loop.pace, loop.figures, loop.saver.newest, best, loop.stopped, memory)
    events.write("end", **summary.facts())
    events.close()
    return summary


def evaluate_checkpoint(
    path: str, overrides: list[str], comm: Communicator, screen: Silent, best: bool = False
) -> Evaluation:
    """What a saved generation reaches on its test split.

    path: a run folder, for its newest or its best generation, or one of its generations.
    """
    generation, config = open_checkpoint(path, overrides, comm, best)
    with compiling(config, screen):
        job = build(config, comm)
        job.strategy.load_state(generation.read, generation.meta)
        batches = job.test_batches()
        job.strategy.warm_up(sorted({len(batch) for batch in batches}))
        comm.deadline = config.parallel.deadline
        figures = evaluate(job.strategy, batches, job.dataset.test.read, job.metrics)
    return Evaluation(figures, len(job.dataset.test), str(generation.path))


def open_checkpoint(
    path: str, overrides: list[str], comm: Communicator, best: bool = False
) -> tuple[SharedGeneration, Config]:
    """A generation, or a run folder's newest or best one, and the configuration it was trained with, changed."""
    choose = history.best if best else history.newest
    generation = SharedGeneration.open(comm, lambda: history.open_generation(Path(path), choose=choose))
    assert generation is not None
    saved = generation.meta["config"]
    # of the machines that trained, and no result depends on them
    saved["parallel"] |= {"shares": [], "threads": 0, "mesh": {}, "memory_mb": 0.0}
    return generation, changed(saved, overrides)


@contextmanager
def compiling(config: Config, screen: Silent, *others: Callable[[str, float | None, bool], None]) -> Iterator[None]:
    """Lets the screen and others hear of kernels that are compiled, and closes it at the end."""
    listeners: list = []
    if config.train.backend == "cpu":
        from ..kernels.cpu.compile import listeners
    mine = [screen.made, *others]
    listeners.extend(mine)
    screen.prepare()
    try:
        yield
    finally:
        for listener in mine:
            listeners.remove(listener)
        screen.close()


def _headline(job: Job, ranks: int, hosts: int) -> str:
    places = f"{ranks} ranks on {hosts} host{'s' * (hosts > 1)}" if ranks > 1 else "1 rank"
    threads = f"{job.threads} thread{'s' * (job.threads > 1)}{' each' * (ranks > 1)}"
    parameters = Layout(job.model.specs(job.dataset.shape)).parameters
    data = f"{len(job.dataset.train):,} training and {len(job.dataset.test):,} test samples of {job.dataset.name}"
    return f"{job.config.model.name}, {parameters:,} parameters; {data}; {places}, {threads}"


def _cut(job: Job) -> list[str]:
    """How the model is cut, and a hint where its stages can never all be at work."""
    stages, micro_batches = len(job.forecast.stages), job.config.train.micro_batches
    if stages == 1:
        return []
    hint = f"train.micro_batches = {micro_batches} keeps at most {micro_batches} of {stages} stages at work: give {4 * stages} or more"
    return [str(job.forecast), *([hint] if micro_batches < stages else [])]
