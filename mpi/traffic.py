"""Traffic: what a rank sends in one step, counted by the rules that its messages follow; nothing is sent.

Every term stands where the strategy has its call, in the same order (synchronous.py, pipeline.py), so the two can be read
side by side; that they agree is tested against the counters of real steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..core.cost import Cost
from ..core.partition import Partition
from ..nn.arena import Layout
from ..plan.mesh import Mesh
from .allreduce import slices
from .buckets import cut
from .stages import Stages

FLOAT64 = 8


@dataclass(frozen=True)
class Step:
    """A step of a strategy on ranks that are a mesh of data x pipeline; one stage is data parallelism.

    costs: of the blocks of each stage.   shares: of the batch, over the replicas.   even: nobody has to ask for the mass.
    Other settings: those of Synchronous.
    """

    stages: Stages
    costs: list[list[Cost]]
    shares: Partition
    micro_batches: int
    dtype: Any
    bucket_bytes: int
    norm: Literal["batch", "share"] = "batch"
    clip_norm: float = 0.0
    even: bool = True
    reduction: Literal["fixed", "mpi"] = "fixed"

    @property
    def mesh(self) -> Mesh:
        return Mesh(("data", "pipeline"), (len(self.shares.shares), len(self.stages.bounds)))

    @property
    def ranks(self) -> int:
        return len(self.shares.shares) * len(self.stages.bounds)

    def parts(self, rank: int, batch: int) -> list[int]:
        """Samples of each micro-batch of a rank, of a global batch."""
        share = self.shares.counts(batch)[self.mesh.coordinate(rank)["data"]]
        return Partition.of((), self.micro_batches).counts(share)

    def sent(self, rank: int, batch: int) -> tuple[int, int]:
        """(messages, bytes) that a rank sends in a step of `batch` samples."""
        place = self.mesh.coordinate(rank)
        groups = {
            "world": (rank, self.ranks),
            "replicas": (place["data"], len(self.shares.shares)),
            "pipe": (place["pipeline"], len(self.stages.bounds)),
        }
        itemsize = np.dtype(self.dtype).itemsize
        messages, sent = self.stages.sent(place["pipeline"], self.parts(rank, batch), itemsize)
        for group, elements, width in self._sums(place["pipeline"]):
            more = allreduce(elements, width, *groups[group], self.reduction)
            messages, sent = messages + more[0], sent + more[1]
        return messages, sent

    def scratch(self, rank: int) -> int:
        """Bytes that the sums of a step receive into, all at once: a slice from each rank."""
        place, replicas = self.mesh.coordinate(rank), len(self.shares.shares)
        if replicas == 1 or self.reduction == "mpi":
            return 0
        sums = [(n, width) for group, n, width in self._sums(place["pipeline"]) if group == "replicas"]
        return sum(replicas * -(-n // replicas) * width for n, width in sums)

    def _sums(self, stage: int) -> Iterator[tuple[str, int, int]]:
        """(who adds, elements, bytes of each) of every sum."""
        part, shape, _ = self.stages.part(stage)
        specs, itemsize = part.specs(shape), np.dtype(self.dtype).itemsize
        weights, statistics, owed = (Layout(specs, role) for role in ("weight", "statistic", "borrowed"))
        if not self.even:
            yield "world", 1, FLOAT64
        if self.norm == "batch" and statistics.size:
            for cost in self.costs[stage]:
                for elements in cost.sums * self.micro_batches:
                    yield "replicas", elements, FLOAT64
        for bucket in cut(weights, self.bucket_bytes // itemsize):
            yield "replicas", bucket.stop - bucket.start, itemsize
        if statistics.size:
            yield "replicas", statistics.size, FLOAT64
        if owed.size:
            yield "replicas", owed.size, itemsize
        yield "world", 2, FLOAT64  # loss and hits
        if self.clip_norm:
            yield "pipe", 1, FLOAT64


def allreduce(elements: int, width: int, rank: int, ranks: int, reduction: str) -> tuple[int, int]:
    """(messages, bytes) that one rank sends to add an array of so many elements over `ranks`."""
    if ranks == 1:
        return 0, 0
    if reduction == "mpi":
        return 1, elements * width
    start, stop = slices(elements, ranks)[rank]
    return 2 * (ranks - 1), width * (elements - (stop - start) + (ranks - 1) * (stop - start))
