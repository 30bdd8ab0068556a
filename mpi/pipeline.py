"""Pipeline: consecutive blocks on consecutive ranks; a batch goes through them in micro-batches, by a schedule's table.

The ranks are a mesh of data x pipeline: each row of it is a pipeline that takes a share of the batch, each column holds
one stage and sums its gradients. So data parallelism, pipelines and their product are one program: the column's sums
leave during the last backward, as without a pipeline, and the row's messages are the table's.

    mesh      stage 0   stage 1              program of rank 0 (1f1b, m = 2):
    data 0    rank 0    rank 1               F0, send, F1, send, recv, B0, recv, B1 (gradients leave), U
    data 1    rank 2    rank 3

A weight that is tied across stages is trained by its owner: who borrows it sends the gradient before the update and gets
the new weight after it. So it is counted once in norms, has one optimizer state, and cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.context import Context
from ..core.errors import UsageError
from ..core.partition import Partition
from ..core.shape import Shape
from ..nn.sequential import Sequential
from ..nn.stash import Stash, live
from ..optim.optimizer import Optimizer
from ..plan.graph import CHAIN, Skip, graph
from ..plan.mesh import Mesh
from ..plan.program import Compute, Message
from ..plan.schedule import PipelineShape, inference, table
from ..plan.timeline import Span
from ..plan.wiring import wire
from .buckets import Flight
from .communicator import Communicator
from .executor import Executor, Tensors
from .strategy import Read
from .synchronous import Synchronous, Use

LOAN = 1 << 13  # tags of borrowed weights, above those of the wiring


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
        model.specs(shape)  # the whole fits together, before it is cut
        mesh = Mesh(("data", "pipeline"), (communicator.size // stages, stages))
        self.pipe = communicator.split(*mesh.split(communicator.rank, "pipeline"))
        replicas = communicator.split(*mesh.split(communicator.rank, "data"))
        self.stages, self.stage = stages, self.pipe.rank
        start, stop = bounds[self.stage]
        before = _shapes(model, shape)
        skips = [*live(model.blocks, shape), {}]
        self.here, self.there = ({CHAIN: before[i]} | skips[i] for i in (start, stop))  # shapes at this stage's two cuts
        wiring = graph(bounds, _skips(model, before, bounds))
        sizes = PipelineShape(stages, micro_batches)
        self.programs = {
            "training": wire(table(schedule, sizes), wiring).programs[self.stage],
            "inference": wire(inference(sizes), wiring).programs[self.stage],
        }
        home = {str(block): k for k, (a, b) in enumerate(bounds) for block in range(a, b)}
        ends = [(name, owner, home[name.split(".")[0]], home[owner.split(".")[0]]) for name, owner in model.tie.items()]
        self.loans = [Loan(*end, LOAN + i) for i, end in enumerate(ends) if end[2] != end[3]]
        self.spans: list[Span] | None = None
        self.most_live = 0
        super().__init__(
            model[start:stop],
            optimizer,
            communicator,
            replicas,
            partition,
            shape=before[start],
            micro_batches=micro_batches,
            **settings,
        )
        self._lend()

    @property
    def first(self) -> bool:
        return self.stage == 0

    @property
    def last(self) -> bool:
        return self.stage == self.stages - 1

    def _stages(self, a: np.ndarray) -> np.ndarray:
        return self.pipe.allreduce(a, "norm")

    def needs(self, batch: np.ndarray) -> np.ndarray:
        """The first stage reads the samples and the last their targets; those in between read nothing."""
        return self.share(batch) if self.first or self.last else np.empty(0, np.int64)

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        super().load_state(read, meta)
        self._lend()

    # ------------------------------------------------------------------------------------------------ a batch

    def _train(self, x: Any, target: Any, samples: np.ndarray, scale: float, flight: Flight) -> None:
        kept: dict[int, tuple[Any, Any]] = {}
        parts = self._cut(samples)

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

        def forward(i: int, taken: Tensors) -> Tensors:
            ctx, z, _ = self._forward(x, parts[i], samples, taken, training=False)
            if self.last and len(samples[parts[i]]):
                use(parts[i], z)
            return {CHAIN: z, **ctx.stash}

        self._run({"inference": forward}, parts)

    def _forward(self, x: Any, part: slice, samples: np.ndarray, taken: Tensors, training: bool) -> tuple[Context, Any, Any]:
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
            return work[what.action.kind](what.action.micro_batch, taken)

        def room(message: Message) -> np.ndarray:
            shape = (self.here if message.direction == "forward" else self.there)[message.edge.name]
            part = parts[message.micro_batch]
            return self.pool.empty((part.stop - part.start, *shape), self.replica.weights.dtype)

        executor = Executor(self.pipe, compute, room, self.spans)
        executor.run(self.programs["inference" if "inference" in work else "training"])
        self.most_live = max(self.most_live, executor.most_live)

    # ------------------------------------------------------------------------------------------------ tied weights

    def _prepare(self) -> None:
        super()._prepare()
        self._lend()

    def _update(self, step: int) -> None:
        self._collect()
        super()._update(step)
        self._lend()

    def _lend(self) -> None:
        """Owners send the weights that other stages read."""
        for loan in self.loans:
            if self.stage == loan.owner_stage:
                self.pipe.send(self.replica.weights[loan.owner], loan.stage, loan.tag, "tied weight")
            elif self.stage == loan.stage:
                self.pipe.recv(self.replica.borrowed[loan.name], loan.owner_stage, loan.tag, "tied weight")

    def _collect(self) -> None:
        """Owners add the gradients of those who borrow, in the order of the loans."""
        for loan in self.loans:
            if self.stage == loan.stage:
                self.pipe.send(self.replica.owed[loan.name], loan.owner_stage, loan.tag, "tied gradient")
            elif self.stage == loan.owner_stage:
                gradient = np.empty_like(self.replica.gradients[loan.owner])
                self.pipe.recv(gradient, loan.stage, loan.tag, "tied gradient")
                self.replica.gradients[loan.owner][...] += gradient


class Loan(NamedTuple):
    """Weight `name` on `stage` is that of `owner` on `owner_stage`."""

    name: str
    owner: str
    stage: int
    owner_stage: int
    tag: int


def _shapes(model: Sequential, shape: Shape) -> list[Shape]:
    """Of one sample in front of each block, and behind the last."""
    shapes = [shape]
    for block in model.blocks:
        shapes.append(block.out_shape(shapes[-1]))
    return shapes


def _skips(model: Sequential, before: Sequence[Shape], bounds: Sequence[tuple[int, int]]) -> list[Skip]:
    """What is put by and taken, block by block; UsageError for integers that would cross a cut: they have no gradient."""
    made = {name: i for i, block in enumerate(model.blocks) for name in block.puts(before[i])}
    taken = {name: i for i, block in enumerate(model.blocks) for name in block.takes(before[i])}
    for name, i in made.items():
        crossed = [start for start, _ in bounds if i < start <= taken[name]]
        if crossed and not isinstance(model.blocks[i], Stash):
            raise UsageError(
                f'a cut before block {crossed[0]} would part block {i} from block {taken[name]}, which takes its indices "{name}"',
                "cut elsewhere, or use fewer stages",
            )
    return [Skip(name, i, taken[name]) for name, i in made.items()]
