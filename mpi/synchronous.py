"""Synchronous: what all strategies share whose ranks finish a batch together and apply one update.

A rank holds a part of the model (all of it, or a stage) and works on a share of each batch. Ranks that hold the same part
are its replicas: their gradients and statistics are summed in one order, and the same update follows, so their weights
stay equal to the bit and are never compared or averaged. How a share goes through the model is left to the strategy:

    _train    forward and backward of this rank's share, gradients added into the replica
    _infer    forward only

    g = sum_r g_r,    g_r = d/dw  1/M sum_{n in share r} loss[n]        M: mass of the global batch

The scale 1/M goes into the loss, so the sum needs no weighting and is right for any shares: unequal ones, ragged
batches, and empty ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from ..core.context import Context, alone
from ..core.errors import UsageError
from ..core.partition import Partition
from ..core.shape import Shape
from ..core.spec import Role as SpecRole
from ..core.spec import Spec, State
from ..core.trace import span
from ..kernels.op import Like
from ..kernels.pool import Pool
from ..nn.arena import Arena, Layout
from ..nn.loss import CrossEntropy, Loss
from ..nn.replica import Replica
from ..nn.sequential import Sequential
from ..optim.clip import clip
from ..optim.optimizer import Optimizer
from .buckets import Flight, cut
from .communicator import Communicator
from .strategy import Fetch, Observe, Predicted, Read, Report, Role

Use = Callable[[slice, Any], None]  # (which of the share's samples, z), on ranks that hold outputs


class Synchronous:
    """The common part; see DataParallel and Pipeline for what their arguments mean to them.

    part, shape: the blocks this rank holds, and what one sample is in front of them.
    world: all ranks.   replicas: those that hold this part; the batch is shared out among them by `partition`.
    fetch: global indices -> (x, target), called once a batch, for an empty share too.
    micro_batches: parts a share is worked through in, one after the other: less memory, the same gradient.
    norm: what layers that normalise over a batch see: "batch", a micro-batch of all replicas together, or "share", of
    this replica alone.   clip_norm: the most that the norm of the whole gradient may be, 0 for any.
    bucket_bytes: gradients leave in slices of about this size (the default of PyTorch's DDP).
    """

    role: Role = "worker"

    def __init__(
        self,
        part: Sequential,
        optimizer: Optimizer,
        world: Communicator,
        replicas: Communicator,
        partition: Partition,
        *,
        shape: Shape,
        fetch: Fetch,
        seed: int,
        loss: Loss | None = None,
        dtype: Any = "float32",
        backend: str = "cpu",
        micro_batches: int = 1,
        norm: Literal["batch", "share"] = "batch",
        clip_norm: float = 0.0,
        bucket_bytes: int = 25 << 20,
    ):
        if micro_batches < 1:
            raise UsageError(f"micro_batches {micro_batches} must be at least 1")
        if len(partition.shares) != replicas.size:
            raise UsageError(f"the batch is cut into {len(partition.shares)} shares for {replicas.size} replicas")
        self.part, self.optimizer, self.communicator, self.replicas = part, optimizer, world, replicas
        self.partition, self.fetch, self.seed, self.backend = partition, fetch, seed, backend
        self.loss, self.clip_norm = loss or CrossEntropy(), clip_norm
        self.parts = Partition.of((1.0,) * micro_batches, micro_batches)
        self.pool = Pool()
        self.step = 0
        self.replica = Replica(part, shape, dtype).initialise(seed, backend)
        self.slots = {slot: self.replica.weights.like() for slot in optimizer.slots}
        self.buckets = cut(self.replica.weights.layout, bucket_bytes // self.replica.weights.dtype.itemsize)
        self.tally = np.zeros(2)  # loss, hits
        self.normalises, self.norm = self.replica.statistics.flat.size > 0, norm
        self.joint = norm == "batch" and replicas.size > 1 and self.normalises
        # unequal CPUs may round a logarithm differently
        replicas.broadcast(self.replica.weights.flat, 0, "initial weights")

    # ------------------------------------------------------------------------------------------------ left to strategies

    @property
    def last(self) -> bool:
        """Whether outputs are here, and targets count."""
        return True

    def _specs(self) -> list[Spec]:
        """Of the whole model."""
        return self.part.specs(self.replica.shape)

    def _stages(self, a: np.ndarray) -> np.ndarray:
        """The sum over the ranks that hold the other parts of the model."""
        return a

    def _train(self, x: Any, target: Any, samples: np.ndarray, scale: float, flight: Flight) -> None:
        """Adds this share's gradients and statistics into the replica, its loss and hits into the tally."""
        raise NotImplementedError

    def _infer(self, x: Any, samples: np.ndarray, use: Use) -> None:
        """Forward of this share, without training."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ the strategy's face

    def remarks(self, batch: int) -> list[str]:
        """Says where normalisation sees less than the batch."""
        pieces = len(self.parts.shares) * (1 if self.norm == "batch" else self.replicas.size)
        if pieces == 1 or not self.normalises:
            return []
        return [f"normalisation sees a part of each batch at a time: {batch} samples in {pieces} parts"]

    def share(self, batch: np.ndarray) -> np.ndarray:
        """The samples of the global batch that fall to this replica."""
        start, stop = self.partition.bounds(len(batch), self.replicas.rank)
        return np.ascontiguousarray(batch[start:stop], np.int64)

    def needs(self, batch: np.ndarray) -> np.ndarray:
        return self.share(batch)

    def feed(self, batch: np.ndarray) -> list[Report]:
        self.communicator.step = self.step
        x, target = self.fetch(self.needs(batch))
        self._prepare()
        mass = self._gradients(x, target, self.share(batch), len(batch))
        with span(self.communicator.trace, "update", "update"):
            self._update(self.step)
        self.step += 1
        return [self._report(self.step - 1, len(batch), mass)]

    def drain(self) -> list[Report]:
        return []

    def evaluate(self, batch: np.ndarray, fetch: Fetch, observe: Observe | None = None) -> Report:
        return self._report(self.step, len(batch), self._score(*fetch(self.needs(batch)), batch, observe))

    def predict(self, batch: np.ndarray, fetch: Fetch, observe: Predicted) -> None:
        samples = self.share(batch)
        self._infer(fetch(self.needs(batch))[0], samples, lambda which, z: observe(samples[which], z))

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Compiles every kernel and fills the pools, on throw-away arrays; no deadline: one rank compiles for all."""
        communicator, deadline = self.communicator, self.communicator.deadline
        communicator.deadline = float("inf")
        kept, self.replica, self.slots = (self.replica, self.slots), self.replica.like(), {}
        one = self.fetch(np.empty(0, np.int64))
        for size in batch_sizes:
            batch = np.arange(size)
            x, target = (np.zeros((len(self.needs(batch)), *a.shape[1:]), a.dtype) for a in one)
            self._gradients(x, target, self.share(batch), size)
            self._score(x, target, batch)
        for step in range(2):  # the first update may be another kernel
            self.slots = {slot: self.replica.weights.like() for slot in self.optimizer.slots}
            self._prepare()
            self._update(step)
        self.replica, self.slots = kept
        communicator.barrier("warm-up")
        communicator.deadline = deadline

    def memory(self) -> int:
        """Bytes of the arenas and of all that was ever taken from the pools, which keep it."""
        copy = self.replica
        arenas = [
            copy.weights,
            copy.gradients,
            copy.buffers,
            copy.statistics,
            copy.borrowed,
            copy.owed,
            *self.slots.values(),
        ]
        pools = [
            self.pool,
            self.communicator.pool,
            *([] if self.replicas is self.communicator else [self.replicas.pool]),
        ]
        return sum(arena.flat.nbytes for arena in arenas) + sum(pool.bytes for pool in pools)

    def state(self) -> State:
        tensors: dict[str, tuple[Spec, Any]] = {}
        for prefix, _, arena in self._arenas():
            tensors |= {f"{prefix}/{spec.name}": (spec, arena[spec.name]) for spec in arena.layout.owned()}
        return State(tensors, {"step": self.step})

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        """Every rank reads every tensor of the model in one order, because a read may be collective, and keeps what it holds."""
        specs = self._specs()
        for prefix, role, arena in self._arenas():
            for spec in Layout(specs, role).owned():
                found = read(f"{prefix}/{spec.name}", spec)
                if spec.name in arena.layout.specs:
                    arena[spec.name][...] = found
        self.step = int(meta["step"])

    def _arenas(self) -> list[tuple[str, SpecRole, Arena]]:
        """(prefix, role, arena) of all that a checkpoint holds; weights and buffers share a prefix, their names differ."""
        slots = [(f"optimizer/{slot}", self.slots[slot]) for slot in self.optimizer.kept]
        weights: list[tuple[str, SpecRole, Arena]] = [
            (name, "weight", a) for name, a in [("model", self.replica.weights), *slots]
        ]
        return [*weights, ("model", "buffer", self.replica.buffers)]

    # ------------------------------------------------------------------------------------------------ a batch

    def _gradients(self, x: Any, target: Any, samples: np.ndarray, total: int) -> float:
        """Gradients, statistics and tally of the global batch, on every rank; its mass."""
        self.replica.clear()
        self.tally[:] = 0
        mass = self._mass(target, total)
        flight = Flight(self.replicas, self.replica.gradients.flat, self.buckets)
        self._train(x, target, samples, 1 / (mass or 1.0), flight)
        flight.after(0)  # all sums leave in one order on all ranks, also where no layer was run
        if self.replica.statistics.flat.size:
            flight.depart(self.replica.statistics.flat, "statistics")
        if self.replica.owed.flat.size:
            flight.depart(self.replica.owed.flat, "borrowed")
        flight.land()
        return mass

    def _prepare(self) -> None:
        self.optimizer.prepare(self.replica.weights, self.slots, self.step, self.backend)

    def _update(self, step: int) -> None:
        self.replica.commit()
        if self.clip_norm:
            clip(self.replica.gradients, self.clip_norm, self._stages, self.backend)
        self.optimizer.update(self.replica.weights, self.replica.gradients, self.slots, step, self.backend)

    def _score(self, x: Any, target: Any, batch: np.ndarray, observe: Observe | None = None) -> float:
        """tally of the global batch, without training; its mass."""
        self.tally[:] = 0
        samples, mass = self.share(batch), self._mass(target, len(batch))
        ctx, scale = self._context(samples, training=False), 1 / (mass or 1.0)

        def use(which: slice, z: Any) -> None:
            if observe:
                observe(samples[which], z, target[which])
            self.tally += self.loss(z, target[which], scale, ctx)[:2]

        self._infer(x, samples, use)
        self.communicator.allreduce(self.tally, "evaluation")
        return mass

    def _mass(self, target: Any, total: int) -> float:
        """Of the global batch, 0 where no target counts; asked of the others only where it depends on what the targets are."""
        if self.loss.even:
            return self.loss.mass(Like((total, *target.shape[1:]), target.dtype))  # reads the shape only
        mass = np.array([self.loss.mass(target) if self.last else 0.0])
        self.communicator.allreduce(mass, "mass")
        return float(mass[0])

    def _cut(self, samples: np.ndarray) -> list[slice]:
        """A share's micro-batches."""
        return [slice(*self.parts.bounds(len(samples), i)) for i in range(len(self.parts.shares))]

    def _context(self, samples: np.ndarray, training: bool, input_gradient: bool = False) -> Context:
        place: dict[str, Any] = {"backend": self.backend, "pool": self.pool, "input_gradient": input_gradient}
        place["trace"] = self.communicator.trace
        return Context(training, self.step, self.seed, samples, total=self._total if self.joint else alone, **place)

    def _total(self, a: np.ndarray) -> np.ndarray:
        return self.replicas.allreduce(a.copy(), "normalisation")

    def _report(self, step: int, samples: int, mass: float) -> Report:
        loss, right = self.tally
        return Report(step, samples, float(loss) / (mass or 1.0), int(right), mass)
