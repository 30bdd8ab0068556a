"""Pipeline: consecutive blocks on consecutive ranks; a batch goes through them in micro-batches, by a schedule's table.

The ranks are a mesh of data x pipeline: each row of it is a pipeline that takes a share of the batch, each column holds
one stage and sums its gradients. So data parallelism, pipelines and their product are one program: the column's sums
leave during the last backward, as without a pipeline, and the row's messages are the table's.

    mesh      stage 0   stage 1              program of rank 0 (1f1b, m = 2):
    data 0    rank 0    rank 1               F0, send, F1, send, recv, B0, recv, B1 (gradients leave), U
    data 1    rank 2    rank 3

A weight that is tied across stages is trained by its owner: who borrows it gets it before each batch, and sends its
gradient before the update. So it is counted once in norms, has one optimizer state, and cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import UsageError
from ..core.partition import Partition
from ..core.shape import Shape
from ..core.spec import Spec
from ..nn.sequential import Sequential
from ..optim.optimizer import Optimizer
from ..plan.graph import CHAIN
from ..plan.mesh import Mesh
from ..plan.program import Compute, Message
from .buckets import Flight
from .communicator import Communicator
from .executor import Executor, Tensors
from .stages import Stages
from .synchronous import Synchronous, Use


class Pipeline(Synchronous):
    """Synchronous pipeline parallelism, times data parallelism where there are more ranks than stages.

    bounds: [start, stop) of the blocks of each stage (plan.cut); their number divides the number of ranks.
    schedule: one of plan.schedule.SCHEDULES.   partition: of the batch, over the pipelines.   shape: of a sample.
    Other settings: those of Synchronous; micro_batches is the schedule's m.
    Communication per step and rank: the activations and gradients of each micro-batch that cross the stage's two cuts, and
    skips, once; then as DataParallel, for the stage's weights.
    """

    def __init__(
        self,
        model: Sequential,
        optimizer: Optimizer,
        communicator: Communicator,
        partition: Partition,
        *,
        shape: Shape,
        bounds: Sequence[tuple[int, int]],
        schedule: str = "1f1b",
        micro_batches: int = 1,
        **settings: Any,
    ):
        stages = len(bounds)
        if communicator.size % stages:
            raise UsageError(f"{stages} stages on {communicator.size} ranks", f"start a multiple of {stages} ranks")
        self.stages = Stages(model, shape, bounds, schedule, micro_batches)
        mesh = Mesh(("data", "pipeline"), (communicator.size // stages, stages))
        self.pipe = communicator.split(*mesh.split(communicator.rank, "pipeline"))
        replicas = communicator.split(*mesh.split(communicator.rank, "data"))
        self.stage = self.pipe.rank
        start, stop = bounds[self.stage]
        self.most_live = 0
        super().__init__(
            model[start:stop],
            optimizer,
            communicator,
            replicas,
            partition,
            shape=self.stages.before[start],
            micro_batches=micro_batches,
            **settings,
        )
        self.normalises = self.stages.normalises  # elsewhere, maybe

    @property
    def first(self) -> bool:
        return self.stage == 0

    @property
    def last(self) -> bool:
        return self.stage == self.pipe.size - 1

    def _specs(self) -> list[Spec]:
        return self.stages.specs

    def _stages(self, a: np.ndarray) -> np.ndarray:
        return self.pipe.allreduce(a, "norm")

    def needs(self, batch: np.ndarray) -> np.ndarray:
        """The first stage reads the samples and the last their targets; those in between read nothing."""
        return self.share(batch) if self.first or self.last else np.empty(0, np.int64)

    # ------------------------------------------------------------------------------------------------ a batch

    def _train(self, x: Any, target: Any, samples: np.ndarray, scale: float, flight: Flight) -> None:
        kept: dict[int, tuple[Any, Any]] = {}
        parts = self._cut(samples)
        self._lend()

        def forward(i: int, taken: Tensors) -> Tensors:
            ctx, z, saved = self._forward(x, parts[i], samples, taken, training=True)
            dz = None
            if self.last:
                loss, right, dz = self.loss(z, target[parts[i]], scale, ctx)
                self.tally += loss, right
            kept[i] = saved, dz
            return {CHAIN: z, **ctx.stash}

        def backward(i: int, taken: Tensors) -> Tensors:
            saved, dz = kept.pop(i)
            dy = dz if self.last else taken.pop(CHAIN)
            ctx = self._stage_context(samples[parts[i]], taken, training=True)
            after = flight.after if i == len(parts) - 1 else None
            dx = self.part.backward(self.replica.p, self.replica.g, saved, dy, ctx, after)
            return {CHAIN: dx, **ctx.stash}

        self._run({"forward": forward, "backward": backward, "update": lambda i, taken: {}}, parts)
        self.communicator.allreduce(self.tally, "loss")

    def _infer(self, x: Any, samples: np.ndarray, use: Use) -> None:
        parts = self._cut(samples)
        self._lend()

        def forward(i: int, taken: Tensors) -> Tensors:
            ctx, z, _ = self._forward(x, parts[i], samples, taken, training=False)
            if self.last and len(samples[parts[i]]):
                use(parts[i], z)
            return {CHAIN: z, **ctx.stash}

        self._run({"inference": forward}, parts)

    def _forward(
        self, x: Any, part: slice, samples: np.ndarray, taken: Tensors, training: bool
    ) -> tuple[Context, Any, Any]:
        """(context with what was stashed and not popped, z, saved)."""
        x = x[part] if self.first else taken.pop(CHAIN)
        ctx = self._stage_context(samples[part], taken, training)
        return ctx, *self.part.forward(self.replica.p, x, ctx)

    def _stage_context(self, samples: np.ndarray, skips: Tensors, training: bool) -> Context:
        ctx = self._context(samples, training, input_gradient=not self.first)
        ctx.stash.update(skips)
        return ctx

    def _run(self, work: dict[str, Callable[[int, Tensors], Tensors]], parts: list[slice]) -> None:
        """The rank's program over these micro-batches, with the work of each kind of action."""

        def compute(what: Compute, taken: Tensors) -> Tensors:
            given = work[what.action.kind](what.action.micro_batch, taken)
            for message in what.gives:
                self._sendable(message, given[message.edge.name])
            return given

        def room(message: Message) -> np.ndarray:
            part = parts[message.micro_batch]
            shape = (part.stop - part.start, *self.stages.shape(message.edge))
            return self.pool.empty(shape, self.replica.weights.dtype)

        executor = Executor(self.pipe, compute, room)
        wired = self.stages.inference if "inference" in work else self.stages.training
        executor.run(wired.programs[self.stage])
        self.most_live = max(self.most_live, executor.most_live)

    def _sendable(self, message: Message, a: Any) -> None:
        """UsageError for what its receiver has no room for: integers, which have no gradient either."""
        if a.dtype != self.replica.weights.dtype:
            block = self.stages.bounds[message.edge.target][0]
            raise UsageError(f"a cut before block {block} would send {a.dtype}", "cut elsewhere, or use fewer stages")

    # ------------------------------------------------------------------------------------------------ tied weights

    def _update(self, step: int) -> None:
        self._collect()
        super()._update(step)

    def _lend(self) -> None:
        """Owners send the weights that other stages read."""
        for loan in self.stages.loans:
            if self.stage == loan.owner_stage:
                self.pipe.send(self.replica.weights[loan.owner], loan.stage, loan.tag, "tied weight")
            elif self.stage == loan.stage:
                self.pipe.recv(self.replica.borrowed[loan.name], loan.owner_stage, loan.tag, "tied weight")

    def _collect(self) -> None:
        """Owners add the gradients of those who borrow, in the order of the loans."""
        for loan in self.stages.loans:
            if self.stage == loan.stage:
                self.pipe.send(self.replica.owed[loan.name], loan.owner_stage, loan.tag, "tied gradient")
            elif self.stage == loan.owner_stage:
                owner = self.replica.gradients[loan.owner]
                gradient = self.pool.empty(owner.shape, owner.dtype)
                self.pipe.recv(gradient, loan.stage, loan.tag, "tied gradient")
                owner += gradient
