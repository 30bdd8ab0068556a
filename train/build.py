"""From a configuration to the objects of a job, in the one order that training and evaluation share.

Before anything is built every rank knows its threads; before anything is run all ranks have agreed on what they build.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape, prod
from ..kernels.op import Like
from ..mpi import agreement, slurm
from ..mpi.communicator import Communicator
from ..mpi.synchronous import Synchronous
from ..nn import models
from ..nn.loss import CrossEntropy, Loss
from ..nn.losses import LOSSES
from ..nn.sequential import Sequential
from ..optim import OPTIMIZERS, SCHEDULES, Optimizer, Warmup
from . import choices, run, tables
from .config import Config
from .data import Dataset, open_dataset
from .forecast import Forecast, forecast
from .metrics import Metrics
from .parallel import mesh, stages, strategy
from .prefetch import Prefetch
from .sampler import Sampler, in_batches

NONE = np.empty(0, np.int64)  # the indices of no samples


@dataclass
class Job:
    """What a configuration stands for, on this rank.   config: complete, with what the data say of themselves."""

    config: Config
    comm: Communicator
    threads: int
    dataset: Dataset
    sampler: Sampler
    model: Sequential
    prefetch: Prefetch
    strategy: Synchronous
    metrics: Metrics
    forecast: Forecast

    def warm_up(self, shares: bool = False) -> None:
        """Makes every kernel ready.   shares: also for the smaller batches that a rank would have among others."""
        self.sampler.order(0)
        sizes = {len(batch) for batch in self.test_batches()}.union(self.sampler.sizes)
        if shares:
            sizes |= {size >> halved for size in sizes for halved in range(size.bit_length())}
        self.strategy.warm_up(sorted(sizes, reverse=True))

    def test_batches(self) -> list[np.ndarray]:
        return in_batches(np.arange(len(self.dataset.test)), self.config.train.batch)


def build(config: Config, comm: Communicator) -> Job:
    """The job of this configuration, a collective call.

    UsageError or DataError where its parts do not fit together, or where the ranks differ in configuration, versions
    or data.
    """
    threads = use_threads(config, comm)
    dataset = open_dataset(config.data, config.train.dtype)
    config = replace(config, data=dataset.config)  # complete: what the training part says goes wherever the run goes
    sampler = Sampler(len(dataset.train), config.train.batch, config.train.seed, config.train.backend)
    model = network(config, dataset)
    agreement.agree(comm, facts(config, dataset))
    prefetch = Prefetch(dataset.train.read, trace=comm.trace)
    rule = optimizer(config.optim, config.train.epochs * len(sampler))
    shape, (_, target) = model.out_shape(dataset.shape), dataset.test.read(NONE)
    goal = loss(config.loss, dataset)
    check(goal, config, shape, dataset.target)
    metrics = Metrics(config.train.metrics, config.checkpoint.best, shape, target, comm, config.loss.ignore)
    where = stages(config, comm, model, dataset, rule, mesh(config, comm.size))
    trainer = strategy(config, comm, model, dataset, rule, goal, prefetch, where)
    planned = forecast(config, comm.size, model, dataset, rule, goal, where)
    return Job(config, comm, threads, dataset, sampler, model, prefetch, trainer, metrics, planned)


def network(config: Config, dataset: Dataset) -> Sequential:
    """The model of the configuration for these data."""
    tokens = dataset.sample.dtype.kind == "i"
    return models.build(config.model.name, dataset.shape, outputs(dataset), tokens=tokens, **config.model.options)


def facts(config: Config, dataset: Dataset) -> dict[str, str]:
    """What all ranks must hold alike; one fact a key, so that a difference is named by its key."""
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in run.versions().items())
    settings = {key: str(value) for key, value in tables.flat(config).items()}
    return settings | {"versions": versions, "data": dataset.digest}


def optimizer(optim: choices.Optim, steps: int) -> Optimizer:
    """The update rule with its schedule over so many updates, each with the settings it takes."""
    if optim.warmup_steps >= steps:
        problem = f"optim.warmup_steps = {optim.warmup_steps} of {steps} updates: the rate would never reach optim.lr"
        raise UsageError(problem, "warm up for fewer steps, or train for more epochs")
    given = {**vars(optim), "steps": steps - optim.warmup_steps}
    schedule = _made(SCHEDULES[optim.schedule], given)
    given["lr"] = Warmup(schedule, optim.warmup_steps) if optim.warmup_steps else schedule
    return _made(OPTIMIZERS[optim.name], given)


def loss(section: choices.Loss, dataset: Dataset) -> Loss:
    """The loss with the settings it takes; UsageError where values have no loss that was asked for."""
    if section.name == "auto" and dataset.targets == "values":
        if section != choices.Loss():
            raise UsageError(
                "[loss] has settings of cross-entropy, but the targets are values", "name the loss: loss.name=mse"
            )
        section = choices.Loss("mse")
    return _made(LOSSES["cross-entropy" if section.name == "auto" else section.name], vars(section))


def check(goal: Loss, config: Config, outputs: Shape, target: Like) -> None:
    """UsageError where the loss cannot compare such outputs with such targets, found before a run folder is written to."""
    if "perplexity" in (*config.train.metrics, config.checkpoint.best) and not isinstance(goal, CrossEntropy):
        problem = f"perplexity is the exponential of a cross-entropy, the loss is {type(goal).__name__}"
        raise UsageError(problem, "leave it out of train.metrics and checkpoint.best")
    try:
        z, labels = np.zeros((1, *outputs), config.train.dtype), np.zeros((1, *target.shape), target.dtype)
        goal(z, labels, 1.0, Context(backend="shapes"))
    except UsageError as error:
        problem = f"{config.model.name} gives {outputs} for a sample, whose target is {target.dtype}{target.shape}"
        raise UsageError(f"{problem}: {error.problem}", error.cure) from error
    if isinstance(goal, CrossEntropy) and outputs[-1:] == (1,):
        problem = "there is one class: any network is right, and nothing can be learnt"
        raise UsageError(problem, "look at the labels, or say how many classes there are: data.classes=2")


def _made(cls: type, given: dict[str, Any]) -> Any:
    return cls(**{item.name: given[item.name] for item in fields(cls)})


def outputs(dataset: Dataset) -> int:
    """How many numbers a classifying model gives for a sample or a position of it."""
    return dataset.classes or prod(dataset.target.shape)


def use_threads(config: Config, comm: Communicator) -> int:
    """Tells the kernels how many threads this rank has, and returns it; and which algorithms they may take."""
    fair = agreement.threads(comm)
    if config.train.backend != "cpu":
        return 1
    from ..kernels.cpu import threads, winograd

    winograd.use(config.kernels.winograd)
    wanted = config.parallel.threads or (min(fair, threads.cap()) if threads.layer() else 1)
    if wanted > fair and "SLURM_JOB_ID" in os.environ:
        raise slurm.too_few_cpus("parallel.threads", wanted, fair)
    try:
        threads.set_threads(wanted)
    except UsageError as error:
        raise UsageError(f"parallel.threads = {wanted}: {error.problem}", error.cure) from error
    return wanted
