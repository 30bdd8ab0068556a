"""`shoal train` and `shoal eval` as functions of a configuration and a communicator, from arguments to last line.

The order is the order of blame: a folder that cannot be written and data that are not there are found before ranks are
compared, differences between ranks before anything is compiled, and all of it before the first step. The deadline
counts from the first step, because until then one rank compiles for all.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..checkpoint.history import open_generation
from ..checkpoint.shared import SharedGeneration
from ..checkpoint.store import Store
from ..mpi.communicator import Communicator
from ..nn.arena import Layout
from . import run, tables
from .build import Job, build
from .config import Config
from .loop import Loop, accuracy, evaluate
from .progress import Silent
from .sampler import in_batches
from .summary import Summary, summarise


@dataclass(frozen=True)
class Evaluation:
    """Figures on the test split.   checkpoint: the generation they belong to."""

    accuracy: float
    test_loss: float
    samples: int
    checkpoint: str

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("test accuracy", f"{self.accuracy:.2%} of {self.samples:,} samples"),
            ("test loss", f"{self.test_loss:.4f}"),
            ("checkpoint", self.checkpoint),
        ]


def train(config: Config, comm: Communicator, screen: Silent, resume: bool = False) -> Summary:
    """Trains as configured, in the run folder; the summary is the same on every rank."""
    began = time.perf_counter()
    folder = run.prepare(config, resume)
    with _compiling(config, screen):
        job = build(config, comm)
        hosts = comm.allgather_obj({"host": socket.gethostname(), "threads": job.threads}, "host map")
        if comm.rank == 0:
            for line in [_headline(job, len(hosts), len({host["host"] for host in hosts})), *job.strategy.remarks(job.sampler.batch)]:
                screen.say(line)
        store = Store(folder, comm, keep=config.checkpoint.keep, reject=lambda path, problem: screen.say(problem))
        loop = Loop(job, store, screen)
        with store:
            if resume:
                found = loop.resume()
                screen.say(f"resuming {loop.newest}" if found else f"nothing to resume in {folder}: starting at step 0")
            events = loop.events = run.record(folder, job.config, hosts, comm.rank)
            events.write("start", ranks=comm.size, threads=job.threads, resume=resume)
            loop.warm_up()
            events.write("ready", seconds=time.perf_counter() - began, step=loop.fed)
            screen.ready()
            comm.deadline = config.parallel.deadline
            loop.run()
    assert loop.test is not None
    summary = summarise(comm, loop.pace, loop.test, loop.newest)
    events.write("end", **asdict(summary))
    events.close()
    return summary


def evaluate_checkpoint(path: str, overrides: list[str], comm: Communicator, screen: Silent) -> Evaluation:
    """Loss and accuracy of a saved generation on its test split; path: a run folder, or one of its generations."""
    generation = SharedGeneration.open(comm, lambda: open_generation(Path(path)))
    assert generation is not None
    saved = generation.meta["config"]
    saved["parallel"] |= {"shares": [], "threads": 0}  # of the machines that trained, and no result depends on them
    config = tables.read(Config, tables.override(Config, saved, overrides))
    with _compiling(config, screen):
        job = build(config, comm)
        job.strategy.load_state(generation.read, generation.meta)
        batches = in_batches(np.arange(len(job.dataset.test)), config.train.batch)
        job.strategy.warm_up(sorted({len(batch) for batch in batches}))
        comm.deadline = config.parallel.deadline
        report = evaluate(job.strategy, batches, job.dataset.test.read)
    return Evaluation(accuracy(report), report.loss, report.samples, str(generation.path))


@contextmanager
def _compiling(config: Config, screen: Silent) -> Iterator[None]:
    """Lets the screen hear of kernels that are compiled, and closes it at the end."""
    listeners: list = []
    if config.train.backend == "cpu":
        from ..kernels.cpu.compile import listeners
    listeners.append(screen.made)
    screen.prepare()
    try:
        yield
    finally:
        listeners.remove(screen.made)
        screen.close()


def _headline(job: Job, ranks: int, hosts: int) -> str:
    places = f"{ranks} ranks on {hosts} host{'s' * (hosts > 1)}" if ranks > 1 else "1 rank"
    threads = f"{job.threads} thread{'s' * (job.threads > 1)}{' each' * (ranks > 1)}"
    parameters = Layout(job.model.specs(job.dataset.shape)).parameters
    data = f"{len(job.dataset.train):,} training and {len(job.dataset.test):,} test samples of {job.dataset.name}"
    return f"{job.config.model.name}, {parameters:,} parameters; {data}; {places}, {threads}"
