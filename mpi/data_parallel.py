"""DataParallel: every rank holds the whole model and takes a share of each batch; gradients are summed, then applied.

    g = sum_r g_r,    g_r = d/dw  1/B sum_{n in share r} loss[n]        B: samples of the global batch

The scale 1/B goes into the loss, so the sum needs no weighting and is right for any shares: unequal ones, ragged
batches, and ranks whose share is empty, which run no layer but join every collective with zeros. All ranks add in one
order and apply the same update, so their weights stay equal to the bit and are never compared or averaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.partition import Partition
from ..core.shape import Shape
from ..core.spec import Spec, State
from ..kernels.pool import Pool
from ..nn.arena import Arena, Layout
from ..nn.loss import CrossEntropy
from ..nn.sequential import Sequential, child
from ..optim.optimizer import Optimizer
from .buckets import Flight, cut
from .communicator import Communicator
from .strategy import Fetch, Read, Report, Role


class DataParallel:
    """Synchronous data parallelism by allreduce.

    shape: of one sample.   fetch: global indices -> (x, labels), called once a batch, for an empty share too.
    bucket_bytes: gradients leave in slices of about this size (the default of PyTorch's DDP).
    Communication per step and rank: 2(p-1)/p * bytes of the gradients, and 16 bytes of loss and hits by the same rule.
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
        dtype: Any = "float32",
        backend: str = "cpu",
        bucket_bytes: int = 25 << 20,
    ):
        self.model, self.optimizer, self.communicator, self.partition = model, optimizer, communicator, partition
        self.shape, self.fetch, self.seed, self.backend = shape, fetch, seed, backend
        self.loss = CrossEntropy()
        self.pool = Pool()
        self.step = 0
        layout = Layout(model.specs(shape))
        self.weights = Arena(layout, dtype).initialise(seed, backend)
        self.gradients = self.weights.like()
        self.slots = {slot: self.weights.like() for slot in optimizer.slots}
        self.buckets = cut(layout, bucket_bytes // self.weights.dtype.itemsize)
        self.tally = np.zeros(2)  # loss, hits
        # unequal CPUs may round a logarithm differently
        communicator.broadcast(self.weights.flat, 0, "initial weights")

    def needs(self, batch: np.ndarray) -> np.ndarray:
        """The samples of the global batch that fall to this rank."""
        start, stop = self.partition.bounds(len(batch), self.communicator.rank)
        return np.ascontiguousarray(batch[start:stop], np.int64)

    def feed(self, batch: np.ndarray) -> list[Report]:
        self.communicator.step = self.step
        samples = self.needs(batch)
        x, labels = self.fetch(samples)
        self._gradients(x, labels, samples, len(batch), self.weights, self.gradients)
        self.optimizer.update(self.weights, self.gradients, self.slots, self.step, self.backend)
        self.step += 1
        return [self._report(self.step - 1, len(batch))]

    def drain(self) -> list[Report]:
        return []

    def evaluate(self, batch: np.ndarray, fetch: Fetch) -> Report:
        samples = self.needs(batch)
        self._score(*fetch(samples), samples, len(batch))
        return self._report(self.step, len(batch))

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Compiles every kernel and fills the pools, on throw-away weights; no deadline: one rank compiles for all."""
        communicator, deadline = self.communicator, self.communicator.deadline
        communicator.deadline = float("inf")
        weights, gradients = self.weights.like(), self.gradients.like()
        for size in batch_sizes:
            samples = self.needs(np.arange(size))
            x = np.zeros((len(samples), *self.shape), weights.dtype)
            labels = np.zeros(len(samples), np.int64)
            self._gradients(x, labels, samples, size, weights, gradients)
            self._score(x, labels, samples, size)
        for step in range(2):
            slots = {slot: self.weights.like() for slot in self.slots}
            self.optimizer.update(weights, gradients, slots, step, self.backend)
        communicator.barrier("warm-up")
        communicator.deadline = deadline

    def state(self) -> State:
        tensors: dict[str, tuple[Spec, Any]] = {}
        for prefix, arena in self._arenas().items():
            tensors |= {f"{prefix}/{spec.name}": (spec, arena[spec.name]) for spec in arena.layout.owned()}
        return State(tensors, {"step": self.step})

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        for prefix, arena in self._arenas().items():
            for spec in arena.layout.owned():
                arena[spec.name][...] = read(f"{prefix}/{spec.name}", spec)
        self.step = int(meta["step"])

    def _arenas(self) -> dict[str, Arena]:
        return {"model": self.weights} | {f"optimizer/{slot}": arena for slot, arena in self.slots.items()}

    def _context(self, samples: np.ndarray, training: bool) -> Context:
        return Context(
            training, self.step, self.seed, samples, backend=self.backend, pool=self.pool, input_gradient=False
        )

    def _score(self, x: Any, labels: Any, samples: np.ndarray, total: int) -> None:
        """tally of the global batch, without training."""
        self.tally[:] = 0
        if len(samples):
            ctx = self._context(samples, training=False)
            z, _ = self.model.forward(self.weights.views, x, ctx)
            self.tally[:] = self.loss(z, labels, 1 / total, ctx)[:2]
        self.communicator.allreduce(self.tally, "evaluation")

    def _gradients(self, x: Any, labels: Any, samples: np.ndarray, total: int, w: Arena, g: Arena) -> None:
        """g and tally of the global batch, on every rank; each bucket leaves while the blocks below it are at work."""
        g.flat.fill(0)
        self.tally[:] = 0
        flight = Flight(self.communicator, g.flat, self.buckets)
        ctx = self._context(samples, training=True)
        if len(samples):
            z, saved = self.model.forward(w.views, x, ctx)
            *self.tally[:], dy = self.loss(z, labels, 1 / total, ctx)
            del z
        counted = self.communicator.iallreduce(self.tally, "loss")
        if len(samples):
            for i in reversed(range(len(self.model))):
                inner = ctx.at(str(i), input_gradient=i > 0)
                dy = self.model.blocks[i].backward(child(w.views, i), child(g.views, i), saved.pop(), dy, inner)
                flight.after(i)
        flight.land()
        counted.wait()

    def _report(self, step: int, samples: int) -> Report:
        loss, right = self.tally
        return Report(step, samples, float(loss) / samples, int(right))
