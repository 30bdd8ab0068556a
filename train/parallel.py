"""From [parallel] to a strategy: the mesh of the ranks, and where the model is cut.

A mesh names its axes and their sizes; what is not said follows from the number of ranks, so the same configuration runs on
more ranks with more replicas. With one stage that is data parallelism, with one replica a pipeline.

    parallel.mesh = {pipeline = 2}        on 6 ranks: data 3 x pipeline 2
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import UsageError
from ..core.partition import Partition
from ..mpi.communicator import Communicator
from ..mpi.data_parallel import DataParallel
from ..mpi.pipeline import Pipeline
from ..mpi.strategy import Fetch
from ..mpi.synchronous import Synchronous
from ..nn import profile
from ..nn.cost import measure
from ..nn.loss import Loss
from ..nn.recompute import recomputed
from ..nn.sequential import Sequential
from ..optim import Optimizer
from ..plan.cut import Bounds, Memory, cut
from ..plan.mesh import Mesh
from ..plan.schedule import PipelineShape, peak_live, table
from .config import Config
from .data import Dataset

AXES = ("data", "pipeline")


def strategy(
    config: Config,
    comm: Communicator,
    model: Sequential,
    dataset: Dataset,
    rule: Optimizer,
    loss: Loss,
    fetch: Fetch,
    bounds: Bounds,
) -> Synchronous:
    """The strategy of this configuration on these ranks, with the model cut at `bounds`; a collective call."""
    axes = mesh(config, comm.size)
    if config.parallel.recompute:
        model = recomputed(model, dataset.shape, config.train.dtype, dataset.sample.dtype.kind == "i")
    partition = Partition.of(config.parallel.shares, axes["data"])
    settings: dict[str, Any] = {
        "shape": dataset.shape,
        "fetch": fetch,
        "loss": loss,
        "seed": config.train.seed,
        "dtype": np.dtype(config.train.dtype),
        "backend": config.train.backend,
        "micro_batches": config.train.micro_batches,
        "norm": config.parallel.norm,
        "clip_norm": config.optim.clip_norm,
        "bucket_bytes": bucket_bytes(config),
    }
    if axes["pipeline"] == 1:
        return DataParallel(model, rule, comm, partition, **settings)
    return Pipeline(model, rule, comm, partition, bounds=bounds, schedule=config.parallel.schedule, **settings)


def mesh(config: Config, ranks: int) -> dict[str, int]:
    """{axis: size} on so many ranks; UsageError for an axis nobody knows, or sizes that do not multiply to the ranks."""
    given = config.parallel.mesh
    if unknown := [name for name in given if name not in AXES]:
        raise UsageError(f"parallel.mesh has no axis {', '.join(unknown)}", f"its axes are {', '.join(AXES)}")
    for name, size in given.items():
        if type(size) is not int or size < 1:
            raise UsageError(
                f"parallel.mesh.{name} = {size!r} is not a number of ranks", "give an integer of at least 1"
            )
    pipeline = given.get("pipeline", 1)
    axes = {"data": given.get("data", max(1, ranks // pipeline)), "pipeline": pipeline}
    Mesh.of(axes, ranks)
    return axes


def stages(
    config: Config, comm: Communicator, model: Sequential, dataset: Dataset, rule: Optimizer, axes: dict[str, int]
) -> Bounds:
    """Where the model is cut, the same on all ranks; a collective call.   axes: of the mesh.

    UsageError where no cut leaves every stage within parallel.memory_mb.
    """
    by, integers, count = config.parallel.cut, dataset.sample.dtype.kind == "i", axes["pipeline"]
    weights = [1.0] * len(model)
    if by == "time" and count > 1:
        if comm.rank == 0:
            size = max(1, config.train.batch // (axes["data"] * config.train.micro_batches))
            times = profile.seconds(model, dataset.shape, size, config.train.dtype, config.train.backend, integers)
            weights = [forward + backward for forward, backward in times]
        weights = comm.broadcast_obj(weights, 0, "measured times")
    elif by != "count":
        costs = measure(model, dataset.shape, config.train.dtype, integers)
        weights = [float(c.parameters if by == "parameters" else c.forward + c.backward) for c in costs]
    memory = _memory(config, model, dataset, rule, axes) if config.parallel.memory_mb else None
    return cut(weights, count, memory).bounds


def _memory(config: Config, model: Sequential, dataset: Dataset, rule: Optimizer, axes: dict[str, int]) -> Memory:
    """What blocks need and stages have: arenas, and activations of the largest micro-batch, so many as are in flight."""
    integers, dtype, count = dataset.sample.dtype.kind == "i", config.train.dtype, axes["pipeline"]
    kept = recomputed(model, dataset.shape, dtype, integers) if config.parallel.recompute else model
    costs = measure(kept, dataset.shape, dtype, integers)
    share = max(Partition.of(config.parallel.shares, axes["data"]).counts(config.train.batch))
    samples = -(-share // config.train.micro_batches)
    schedule = config.parallel.schedule if count > 1 else "naive"
    rows = table(schedule, PipelineShape(count, config.train.micro_batches))
    copies = np.dtype(dtype).itemsize * (2 + len(rule.slots))  # weights, gradients, the optimizer's state
    return Memory(
        [float(copies * cost.parameters) for cost in costs],
        [float(samples * cost.activations) for cost in costs],
        [peak_live(row) for row in rows],
        [config.parallel.memory_mb * 2**20] * count,
    )


def bucket_bytes(config: Config) -> int:
    return int(min(config.parallel.bucket_mb, 1 << 20) * (1 << 20))  # infinity is one bucket
