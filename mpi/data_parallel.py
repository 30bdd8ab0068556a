"""DataParallel: every rank holds the whole model and takes a share of each batch; gradients are summed, then applied.

    g = sum_r g_r,    g_r = d/dw  1/B sum_{n in share r} loss[n]        B: samples of the global batch

The scale 1/B (1 / mass of the batch, if terms have weights) goes into the loss, so the sum needs no weighting and is
right for any shares: unequal ones, ragged batches, and ranks whose share is empty, which run no layer but join every
collective with zeros. All ranks add in one order and apply the same update, so their weights stay equal to the bit and
are never compared or averaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import UsageError
from ..core.partition import Partition
from ..core.shape import Shape, prod
from ..core.spec import Spec, State
from ..kernels.pool import Pool
from ..nn.loss import CrossEntropy, Loss
from ..nn.replica import Replica
from ..nn.sequential import Sequential, child
from ..optim.optimizer import Optimizer
from .buckets import Flight, cut
from .communicator import Communicator
from .strategy import Fetch, Observe, Predicted, Read, Report, Role


class DataParallel:
    """Synchronous data parallelism by allreduce.

    shape: of one sample.   fetch: global indices -> (x, target), called once a batch, for an empty share too.
    micro_batches: parts a rank's share is worked through in, one after the other (gradient accumulation): less memory,
    the same gradient; layers that normalise over the batch see a part at a time.
    bucket_bytes: gradients leave in slices of about this size (the default of PyTorch's DDP).
    Communication per step and rank: 2(p-1)/p * bytes of gradients and statistics, and 16 bytes of loss and hits likewise.
    Buckets after Li et al. 2020, "PyTorch Distributed: experiences on accelerating data parallel training"
    (10.14778/3415478.3415530).
    """

    role: Role = "worker"

    def __init__(
        self,
        model: Sequential,
        optimizer: Optimizer,
        communicator: Communicator,
        partition: Partition,
        *,
        shape: Shape,
        fetch: Fetch,
        seed: int,
        loss: Loss | None = None,
        dtype: Any = "float32",
        backend: str = "cpu",
        micro_batches: int = 1,
        bucket_bytes: int = 25 << 20,
    ):
        if micro_batches < 1:
            raise UsageError(f"micro_batches {micro_batches} must be at least 1")
        self.model, self.optimizer, self.communicator, self.partition = model, optimizer, communicator, partition
        self.fetch, self.seed, self.backend = fetch, seed, backend
        self.loss = loss or CrossEntropy()
        self.parts = Partition.of((1.0,) * micro_batches, micro_batches)
        self.pool = Pool()
        self.step = 0
        self.replica = Replica(model, shape, dtype).initialise(seed, backend)
        self.slots = {slot: self.replica.weights.like() for slot in optimizer.slots}
        self.buckets = cut(self.replica.weights.layout, bucket_bytes // self.replica.weights.dtype.itemsize)
        self.tally = np.zeros(2)  # loss, hits
        # unequal CPUs may round a logarithm differently
        communicator.broadcast(self.replica.weights.flat, 0, "initial weights")

    def remarks(self, batch: int) -> list[str]:
        pieces = self.communicator.size * len(self.parts.shares)
        if pieces == 1 or not self.replica.statistics.layout.size:
            return []
        return [f"normalisation sees a part of each batch at a time: {batch} samples in {pieces} parts"]

    def needs(self, batch: np.ndarray) -> np.ndarray:
        """The samples of the global batch that fall to this rank."""
        start, stop = self.partition.bounds(len(batch), self.communicator.rank)
        return np.ascontiguousarray(batch[start:stop], np.int64)

    def feed(self, batch: np.ndarray) -> list[Report]:
        self.communicator.step = self.step
        samples = self.needs(batch)
        x, target = self.fetch(samples)
        mass = self._gradients(x, target, samples, len(batch), self.replica)
        self.replica.commit()
        self.optimizer.update(self.replica.weights, self.replica.gradients, self.slots, self.step, self.backend)
        self.step += 1
        return [self._report(self.step - 1, len(batch), mass)]

    def drain(self) -> list[Report]:
        return []

    def evaluate(self, batch: np.ndarray, fetch: Fetch, observe: Observe | None = None) -> Report:
        samples = self.needs(batch)
        mass = self._score(*fetch(samples), samples, len(batch), self.replica, observe)
        return self._report(self.step, len(batch), mass)

    def predict(self, batch: np.ndarray, fetch: Fetch, observe: Predicted) -> None:
        samples = self.needs(batch)
        if len(samples):
            ctx = self._context(samples, training=False)
            observe(samples, self.model.forward(self.replica.p, fetch(samples)[0], ctx)[0])

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Compiles every kernel and fills the pools, on throw-away arrays; no deadline: one rank compiles for all."""
        communicator, deadline = self.communicator, self.communicator.deadline
        communicator.deadline = float("inf")
        replica = self.replica.like()
        one = self.fetch(np.empty(0, np.int64))
        for size in batch_sizes:
            samples = self.needs(np.arange(size))
            x, target = (np.zeros((len(samples), *a.shape[1:]), a.dtype) for a in one)
            self._gradients(x, target, samples, size, replica)
            self._score(x, target, samples, size, replica)
        for step in range(2):
            slots = {slot: replica.weights.like() for slot in self.slots}
            self.optimizer.update(replica.weights, replica.gradients, slots, step, self.backend)
        communicator.barrier("warm-up")
        communicator.deadline = deadline

    def state(self) -> State:
        tensors: dict[str, tuple[Spec, Any]] = {}
        for prefix, arena in self._arenas():
            tensors |= {f"{prefix}/{spec.name}": (spec, arena[spec.name]) for spec in arena.layout.owned()}
        return State(tensors, {"step": self.step})

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        for prefix, arena in self._arenas():
            for spec in arena.layout.owned():
                arena[spec.name][...] = read(f"{prefix}/{spec.name}", spec)
        self.step = int(meta["step"])

    def _arenas(self) -> list[tuple[str, Any]]:
        """(prefix, arena) of all that a checkpoint holds; weights and buffers share a prefix, their names differ."""
        slots = [(f"optimizer/{slot}", arena) for slot, arena in self.slots.items()]
        return [("model", self.replica.weights), ("model", self.replica.buffers), *slots]

    def _context(self, samples: np.ndarray, training: bool) -> Context:
        return Context(
            training, self.step, self.seed, samples, backend=self.backend, pool=self.pool, input_gradient=False
        )

    def _mass(self, target: Any, total: int) -> float:
        """Of the global batch; asked of the others only where it depends on what the targets are."""
        if self.loss.even:
            return float(total * prod(target.shape[1:]))
        mass = np.array([self.loss.mass(target)])
        self.communicator.allreduce(mass, "mass")
        return float(mass[0])

    def _score(self, x: Any, target: Any, samples: np.ndarray, total: int, replica: Replica, observe: Any = None) -> float:
        """tally of the global batch, without training; its mass."""
        self.tally[:] = 0
        mass = self._mass(target, total)
        if len(samples):
            ctx = self._context(samples, training=False)
            z, _ = self.model.forward(replica.p, x, ctx)
            if observe:
                observe(samples, z, target)
            self.tally[:] = self.loss(z, target, 1 / mass, ctx)[:2]
        self.communicator.allreduce(self.tally, "evaluation")
        return mass

    def _gradients(self, x: Any, target: Any, samples: np.ndarray, total: int, replica: Replica) -> float:
        """Gradients, statistics and tally of the global batch, on every rank; its mass."""
        replica.clear()
        self.tally[:] = 0
        mass = self._mass(target, total)
        flight = Flight(self.communicator, replica.gradients.flat, self.buckets)
        parts = [slice(*self.parts.bounds(len(samples), i)) for i in range(len(self.parts.shares))]
        parts = [part for part in parts if part.start < part.stop]
        if not parts:
            flight.depart(self.tally, "loss")
        for part in parts:
            last = part.stop == len(samples)
            self._part(x[part], target[part], samples[part], 1 / mass, replica, flight if last else None)
        if replica.statistics.flat.size:
            flight.depart(replica.statistics.flat, "statistics")
        flight.land()
        return mass

    def _part(self, x: Any, target: Any, samples: np.ndarray, scale: float, replica: Replica, flight: Flight | None) -> None:
        """Forward and backward of a micro-batch; in the last, buckets leave while the blocks below them are at work."""
        ctx = self._context(samples, training=True)
        z, saved = self.model.forward(replica.p, x, ctx)
        loss, right, dy = self.loss(z, target, scale, ctx)
        self.tally += loss, right
        del z
        if flight:
            flight.depart(self.tally, "loss")
        for i in reversed(range(len(self.model))):
            inner = ctx.at(str(i), input_gradient=i > 0)
            dy = self.model.blocks[i].backward(child(replica.p, i), child(replica.g, i), saved.pop(), dy, inner)
            if flight:
                flight.after(i)

    def _report(self, step: int, samples: int, mass: float) -> Report:
        loss, right = self.tally
        return Report(step, samples, float(loss) / mass, int(right), mass)
