"""Stages: all that follows from a model, its cut and a schedule, known without any rank.

What a stage runs, receives, sends and borrows is worked out here once, from shapes alone. So a Pipeline is built from it,
and a plan that says what a step will send, without ranks to send it, counts the same programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core.errors import UsageError
from ..core.shape import Shape, prod
from ..core.spec import Spec
from ..nn.sequential import Sequential
from ..nn.stash import Stash, live
from ..plan.graph import CHAIN, Edge, Skip, graph
from ..plan.program import Send
from ..plan.schedule import PipelineShape, inference, table
from ..plan.wiring import Wired, wire

LOAN = 1 << 13  # tags of borrowed weights, above those of the wiring


class Loan(NamedTuple):
    """Weight `name` on `stage` is that of `owner` on `owner_stage`."""

    name: str
    owner: str
    stage: int
    owner_stage: int
    tag: int
    spec: Spec


class Stages:
    """`model` for samples of `shape`, cut at `bounds`, worked through by a schedule in so many micro-batches.

    specs: of the whole model.   before: the shape of a sample in front of each block, and behind the last.
    training, inference: proven programs.   loans: weights that are tied across a cut.   normalises: whether a block has statistics.
    UsageError for bounds that are not all blocks in order, and for integers that would cross a cut.
    """

    def __init__(
        self, model: Sequential, shape: Shape, bounds: Sequence[tuple[int, int]], schedule: str, micro_batches: int
    ):
        self.specs = model.specs(shape)  # the whole fits together, before it is cut
        if bounds[-1][1] != len(model):
            raise UsageError(
                f"the stages end with block {bounds[-1][1] - 1} of {len(model)} blocks", "let them hold all blocks"
            )
        self.model, self.bounds, self.before = model, bounds, _shapes(model, shape)
        self._skips = [*live(model.blocks, shape), {}]
        wiring = graph(bounds, _skips(model, self.before, bounds))
        sizes = PipelineShape(len(bounds), micro_batches)
        self.training: Wired = wire(table(schedule, sizes), wiring)
        self.inference: Wired = wire(inference(sizes), wiring)
        home = {str(block): k for k, (a, b) in enumerate(bounds) for block in range(a, b)}
        ends = [(name, owner, home[name.split(".")[0]], home[owner.split(".")[0]]) for name, owner in model.tie.items()]
        specs = {spec.name: spec for spec in self.specs}
        crossing = [end for end in ends if end[2] != end[3]]
        self.loans = [Loan(*end, LOAN + i, specs[end[0]]) for i, end in enumerate(crossing)]
        self.normalises = any(spec.role == "statistic" for spec in self.specs)

    def part(self, stage: int) -> tuple[Sequential, Shape, dict[str, Shape]]:
        """(the blocks of a stage, the shape of a sample in front of them, what earlier stages have put by)."""
        start, stop = self.bounds[stage]
        return self.model[start:stop], self.before[start], self._skips[start]

    def shape(self, edge: Edge) -> Shape:
        """Of one sample of what goes along an edge, or of its gradient: what lies in front of the part where the edge ends."""
        start = self.bounds[edge.target][0]
        return self.before[start] if edge.name == CHAIN else self._skips[start][edge.name]

    def sent(self, stage: int, samples: Sequence[int], itemsize: int) -> tuple[int, int]:
        """(messages, bytes) between stages that one of them sends in a step of these micro-batches."""
        program = self.training.programs[stage]
        messages = [instruction.message for instruction in program if isinstance(instruction, Send)]
        elements = [prod(self.shape(message.edge)) * samples[message.micro_batch] for message in messages]
        elements += [loan.spec.size for loan in self.loans if stage in (loan.stage, loan.owner_stage)]
        return len(elements), sum(elements) * itemsize


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
