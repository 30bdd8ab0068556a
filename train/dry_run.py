"""`--dry-run`: what a configuration means, found without training: blocks, shares, memory, messages.

Memory is what grows with the network: the arenas (weights, gradients, one per optimizer slot), and for a rank's share of a
batch what the blocks keep for backward, as they say themselves (nn/cost.py), and the gradients on both sides of the widest.
Messages are exact: the buckets that will leave, and the sum of loss and hits, each by the rule of the reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.cost import Cost, total
from ..core.partition import Partition
from ..core.shape import prod
from ..mpi.allreduce import slices
from ..mpi.buckets import cut
from ..nn.arena import Layout
from ..nn.cost import measure
from .build import check, loss, network, optimizer
from .config import Config
from .data import open_dataset
from .parallel import bucket_bytes
from .sampler import Sampler
from .summary import size
from .terminal import console


@dataclass(frozen=True)
class RankPlan:
    """One rank: its samples of a full batch, the bytes it needs, what it sends in a step."""

    samples: int
    arenas: int
    activations: int
    messages: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """The whole of a dry run."""

    blocks: list[Cost]
    ranks: list[RankPlan]
    steps_per_epoch: int


def plan(config: Config, ranks: int) -> Plan:
    """What `ranks` ranks would do, or more where parallel.shares names more: a large job can be looked at anywhere."""
    ranks = max(ranks, len(config.parallel.shares))
    dataset = open_dataset(config.data, config.train.dtype)
    sampler = Sampler(len(dataset.train), config.train.batch, config.train.seed, config.train.backend)
    model = network(config, dataset)
    check(loss(config.loss, dataset), config, model.out_shape(dataset.shape), dataset.target)
    layout = Layout(model.specs(dataset.shape))
    itemsize = np.dtype(config.train.dtype).itemsize
    slots = optimizer(config.optim, config.train.epochs * len(sampler)).slots
    arenas = (2 + len(slots)) * layout.size * itemsize
    blocks = measure(model, dataset.shape, config.train.dtype, integers=dataset.sample.dtype.kind == "i")
    per_sample = total(blocks).activations + _widest(prod(dataset.shape) * itemsize, blocks)
    pieces = [bucket.stop - bucket.start for bucket in cut(layout, bucket_bytes(config) // itemsize)]
    shares = Partition.of(config.parallel.shares, ranks).counts(sampler.batch)
    plans = [
        RankPlan(share, arenas, share * per_sample, *_sent(config, pieces, itemsize, rank, ranks))
        for rank, share in enumerate(shares)
    ]
    return Plan(blocks, plans, len(sampler))


def _widest(inputs: int, blocks: list[Cost]) -> int:
    """The most bytes that the input and the output of one block have together."""
    sizes = [inputs, *(block.output for block in blocks)]
    return max(before + after for before, after in pairwise(sizes))


def _sent(config: Config, pieces: list[int], itemsize: int, rank: int, ranks: int) -> tuple[int, int]:
    """(messages, bytes) that one rank sends in one step."""
    sums = [(n, itemsize) for n in pieces] + [(2, 8)]  # loss and hits, float64
    if ranks == 1:
        return 0, 0
    if config.parallel.reduction == "mpi":
        return len(sums), sum(n * width for n, width in sums)
    sent = 0
    for n, width in sums:
        start, stop = slices(n, ranks)[rank]
        sent += width * (n - (stop - start) + (ranks - 1) * (stop - start))
    return 2 * (ranks - 1) * len(sums), sent


def show(config: Config, what: Plan) -> None:
    """The plan on stdout, as two tables."""
    from rich.table import Table

    blocks = Table("block", "kind", "output of one sample", "parameters", title=f"{config.model.name}")
    for i, block in enumerate(what.blocks):
        blocks.add_row(str(i), block.kind, " x ".join(map(str, block.shape)), f"{block.parameters:,}")
    blocks.add_row("", "", "", f"{sum(block.parameters for block in what.blocks):,}")
    title = f"each step; {what.steps_per_epoch} steps an epoch, {config.train.epochs} epochs"
    ranks = Table("rank", "samples", "arenas", "activations", "messages", "bytes sent", title=title)
    for rank, one in enumerate(what.ranks):
        memory = (size(one.arenas), size(one.activations))
        ranks.add_row(str(rank), str(one.samples), *memory, str(one.messages), size(one.bytes))
    console().print(blocks, ranks)
