"""Forecast: what each rank of a configuration will hold, compute and send, found without ranks and without data.

Messages and bytes are exact. Memory is what grows with the network: the arenas (weights, gradients, one per optimizer slot,
buffers), what blocks keep for backward, as they say themselves (nn/cost.py), of all micro-batches that are in flight, the
gradients on both sides of the widest block, and the buffers of messages and sums. Time is counted operations, so the picture
of a schedule shows who waits for whom, not for how long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ..core.cost import Cost
from ..core.partition import Partition
from ..core.shape import prod
from ..mpi.stages import Stages
from ..mpi.traffic import Step
from ..nn.arena import Layout
from ..nn.cost import measure
from ..nn.loss import Loss
from ..nn.recompute import recomputed
from ..nn.sequential import Sequential
from ..optim import Optimizer
from ..plan.cut import Bounds
from ..plan.simulate import Costs, Simulation, simulate
from .config import Config
from .data import Dataset
from .parallel import bucket_bytes, mesh


@dataclass(frozen=True)
class RankPlan:
    """One rank: its stage and samples of a full batch, the bytes it needs, what it sends in a step.

    arenas: bytes that are always there.   activations: the most that a step adds to them.
    """

    stage: int
    samples: int
    arenas: int
    activations: int
    messages: int
    bytes: int

    @property
    def memory(self) -> int:
        return self.arenas + self.activations


@dataclass(frozen=True)
class Forecast:
    """stages: the costs of the blocks of each.   ranks: all of them.   simulation: one pipeline, with time in operations."""

    stages: list[list[Cost]]
    ranks: list[RankPlan]
    simulation: Simulation

    @property
    def loads(self) -> list[int]:
        """Operations of each stage, for one sample."""
        return [sum(cost.forward + cost.backward for cost in costs) for costs in self.stages]

    def __str__(self) -> str:
        """The cut in a line: "2 stages: blocks 0..3 | 4..6, heaviest/mean 1.08, bubble 11%"; "" where nothing is cut."""
        if len(self.stages) == 1:
            return ""
        blocks = " | ".join(f"{costs[0].name}..{costs[-1].name}" for costs in self.stages)
        balance = max(self.loads) * len(self.loads) / max(1, sum(self.loads))
        bubble = self.simulation.timeline.bubble
        return f"{len(self.stages)} stages: blocks {blocks}, heaviest/mean {balance:.2f}, bubble {bubble:.0%}"


def forecast(
    config: Config, ranks: int, model: Sequential, dataset: Dataset, rule: Optimizer, loss: Loss, bounds: Bounds
) -> Forecast:
    """Of this configuration on so many ranks, with the model cut at `bounds`."""
    integers, dtype = dataset.sample.dtype.kind == "i", np.dtype(config.train.dtype)
    schedule = config.parallel.schedule if len(bounds) > 1 else "naive"  # replicas work through theirs one by one
    plain = stages = Stages(model, dataset.shape, bounds, schedule, config.train.micro_batches)
    if config.parallel.recompute:
        again = recomputed(model, dataset.shape, dtype, integers)
        stages = Stages(again, dataset.shape, bounds, schedule, config.train.micro_batches)
    costs, whole = _costs(stages, dtype, integers), _costs(plain, dtype, integers)
    step = _step(config, ranks, stages, costs, loss.even)
    arenas = [_arenas(plain, k, 2 + len(rule.slots), dtype.itemsize) for k in range(len(bounds))]
    passing = [_passing(plain, k, costs[k], whole[k], dtype.itemsize) for k in range(len(bounds))]
    simulation = cache(lambda samples: _simulation(stages, costs, samples, dtype.itemsize))

    def planned(rank: int) -> RankPlan:
        parts, stage = step.parts(rank, config.train.batch), step.mesh.coordinate(rank)["pipeline"]
        most = max(parts)
        more = int(simulation(most).peak_bytes[stage]) + most * passing[stage] + step.scratch(rank)
        return RankPlan(stage, sum(parts), arenas[stage], more, *step.sent(rank, config.train.batch))

    return Forecast(costs, [planned(rank) for rank in range(step.ranks)], simulation(1))


def _step(config: Config, ranks: int, stages: Stages, costs: list[list[Cost]], even: bool) -> Step:
    return Step(
        stages,
        costs,
        Partition.of(config.parallel.shares, mesh(config, ranks)["data"]),
        config.train.micro_batches,
        np.dtype(config.train.dtype),
        bucket_bytes(config),
        norm=config.parallel.norm,
        clip_norm=config.optim.clip_norm,
        even=even,
        reduction=config.parallel.reduction,
    )


def _simulation(stages: Stages, costs: list[list[Cost]], samples: int, itemsize: int) -> Simulation:
    """One pipeline with micro-batches of so many samples; its seconds are operations of one sample."""
    operations = {kind: [sum(getattr(c, kind) for c in one) for one in costs] for kind in ("forward", "backward")}
    sizes = {edge: samples * prod(stages.shape(edge)) * itemsize for edge in stages.training.graph.edges}
    kept = [samples * sum(cost.activations for cost in one) for one in costs]
    return simulate(stages.training, Costs(operations, sizes, kept))


def _costs(stages: Stages, dtype: np.dtype, integers: bool) -> list[list[Cost]]:
    parts = [stages.part(k) for k in range(len(stages.bounds))]
    return [measure(part, shape, dtype, integers and k == 0, skips) for k, (part, shape, skips) in enumerate(parts)]


def _arenas(stages: Stages, stage: int, copies: int, itemsize: int) -> int:
    """Bytes of all arenas of a stage; copies: of the weights."""
    part, shape, _ = stages.part(stage)
    sizes = {role: Layout(part.specs(shape), role).size for role in ("weight", "borrowed", "buffer", "statistic")}
    return itemsize * (copies * sizes["weight"] + 2 * sizes["borrowed"] + sizes["buffer"]) + 8 * sizes["statistic"]


def _passing(stages: Stages, stage: int, costs: list[Cost], whole: list[Cost], itemsize: int) -> int:
    """The most bytes for a sample that live within a block's call only: gradients on both its sides, what it recomputes."""
    sizes = [prod(stages.part(stage)[1]) * itemsize, *(cost.output for cost in costs)]
    again = [before.activations - cost.activations for before, cost in zip(whole, costs, strict=True)]
    return max(a + b for a, b in pairwise(sizes)) + max(0, *again)
