"""From a configuration to the objects of a job, in the one order that training and evaluation share.

Before anything is built every rank knows its threads; before anything is run all ranks have agreed on what they build.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import UsageError
from ..core.partition import Partition
from ..mpi import agreement
from ..mpi.communicator import Communicator
from ..mpi.data_parallel import DataParallel
from ..nn import models
from ..nn.sequential import Sequential
from ..optim import SGD
from . import config as configuration
from . import run, tables
from .config import Config
from .data import Dataset, open_dataset
from .metrics import Metrics
from .prefetch import Prefetch
from .sampler import Sampler

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
    strategy: DataParallel
    metrics: Metrics


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
    partition = Partition.of(config.parallel.shares, comm.size)
    agreement.agree(comm, facts(config, dataset))
    prefetch = Prefetch(dataset.train.read)
    strategy = DataParallel(
        model,
        optimizer(config.optim),
        comm,
        partition,
        shape=dataset.shape,
        fetch=prefetch,
        seed=config.train.seed,
        dtype=np.dtype(config.train.dtype),
        backend=config.train.backend,
        micro_batches=config.train.micro_batches,
        bucket_bytes=bucket_bytes(config),
    )
    shape, (_, target) = model.out_shape(dataset.shape), dataset.test.read(NONE)
    metrics = Metrics(config.train.metrics, config.checkpoint.best, shape, target, comm)
    return Job(config, comm, threads, dataset, sampler, model, prefetch, strategy, metrics)


def network(config: Config, dataset: Dataset) -> Sequential:
    """The model of the configuration for these data."""
    tokens = dataset.sample.dtype.kind == "i"
    return models.build(config.model.name, dataset.shape, outputs(dataset), tokens=tokens, **config.model.options)


def outputs(dataset: Dataset) -> int:
    """What a model is told of the targets: how many classes there are, or values that are to be found."""
    return dataset.classes or (dataset.target.shape or (1,))[-1]


def facts(config: Config, dataset: Dataset) -> dict[str, str]:
    """What all ranks must hold alike; one fact a key, so that a difference is named by its key."""
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in run.versions().items())
    settings = {key: str(value) for key, value in tables.flat(config).items()}
    return settings | {"versions": versions, "data": dataset.digest}


def optimizer(optim: configuration.Optim) -> SGD:
    return SGD(optim.lr, optim.momentum, optim.dampening, optim.nesterov, weight_decay=optim.weight_decay)


def bucket_bytes(config: Config) -> int:
    return int(min(config.parallel.bucket_mb, 1 << 20) * (1 << 20))  # infinity is one bucket


def use_threads(config: Config, comm: Communicator) -> int:
    """Tells the kernels how many threads this rank has, and returns it."""
    fair = agreement.threads(comm)
    if config.train.backend != "cpu":
        return 1
    from ..kernels.cpu import threads

    wanted = config.parallel.threads or (min(fair, threads.cap()) if threads.layer() else 1)
    try:
        threads.set_threads(wanted)
    except UsageError as error:
        raise UsageError(f"parallel.threads = {wanted}: {error.problem}", error.cure) from error
    return wanted
