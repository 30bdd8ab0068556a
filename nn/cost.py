"""What a network costs, found by running it on the backend "shapes".

A second description of every layer (its flops, what it keeps) would have to be kept true; the layers themselves cannot be
wrong about what they do. On that backend nothing is computed and results are zeros that no memory is spent on, so a
network of any size is measured in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.cost import Cost
from ..core.shape import Shape
from ..kernels.op import Call, counting
from .arena import Layout
from .module import Module
from .replica import Replica
from .sequential import Sequential


def measure(
    model: Sequential,
    shape: Shape,
    dtype: Any = np.float32,
    integers: bool = False,
    stash: Mapping[str, Shape] | None = None,
) -> list[Cost]:
    """The Cost of each block of a model, or of a part of one, for one sample of `shape`, in a training step.

    integers: the input is int64 (tokens).   stash: what earlier parts have put by, {name: shape of one sample}.
    The model's first block computes no gradient of its input, as in training.
    """
    replica, asked = Replica(model, shape, dtype), Asked()
    skips = {name: np.zeros((1, *there), dtype) for name, there in (stash or {}).items()}
    ctx = Context(training=True, samples=np.zeros(1, np.int64), backend="shapes", total=asked.total, stash=skips)
    x = np.zeros((1, *shape), np.int64 if integers else dtype)
    runs = _forward(model, replica, x, ctx, asked)
    seen: set[int] = set()
    activations([arena.flat for arena in (replica.weights, replica.borrowed, replica.buffers)], seen)  # no activations
    kept = [activations(run.saved, seen) for run in runs]
    _backward(model, replica, runs, ctx, asked)
    return [_cost(run, replica.weights.layout, size) for run, size in zip(runs, kept, strict=True)]


@dataclass
class Run:
    """One block, run once."""

    name: str
    block: Module
    output: Any
    saved: Any
    forward: int
    sums: tuple[int, ...]
    backward: int = 0


class Asked:
    """Stands for the other replicas, and hears what they are asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def total(self, a: Any) -> Any:
        self.sizes.append(a.size)
        return a

    def taken(self) -> tuple[int, ...]:
        """The sizes since the last time."""
        found, self.sizes = tuple(self.sizes), []
        return found


def _forward(model: Sequential, replica: Replica, x: Any, ctx: Context, asked: Asked) -> list[Run]:
    runs = []
    for name, block in model.children():
        with counting() as calls:
            x, saved = block.forward(replica.p.get(name, {}), x, ctx.at(name))
        runs.append(Run(name, block, x, saved, flops(calls), asked.taken()))
    return runs


def _backward(model: Sequential, replica: Replica, runs: list[Run], ctx: Context, asked: Asked) -> None:
    dy: Any = np.zeros_like(runs[-1].output)
    for i, run in reversed(list(enumerate(runs, model.first))):
        p, g = replica.p.get(run.name, {}), replica.g.get(run.name, {})
        with counting() as calls:
            dy = run.block.backward(p, g, run.saved, dy, ctx.at(run.name, input_gradient=i > 0))
        run.saved, run.backward = None, flops(calls)
        run.sums += asked.taken()


def _cost(run: Run, layout: Layout, kept: int) -> Cost:
    parameters = sum(spec.size for spec in layout.owned() if spec.name.split(".")[0] == run.name)
    shape, output = run.output.shape[1:], run.output.nbytes
    return Cost(run.name, run.block.kind, shape, parameters, run.forward, run.backward, kept, output, run.sums)


def flops(calls: list[Call]) -> int:
    return sum(call.flops for call in calls)


def activations(kept: Any, seen: set[int]) -> int:
    """Bytes of the arrays reachable from `kept` that are not in `seen` yet, views counted as what they are views of."""
    if isinstance(kept, np.ndarray):
        while isinstance(kept.base, np.ndarray):
            kept = kept.base
        if id(kept) in seen:
            return 0
        seen.add(id(kept))
        return kept.nbytes
    if isinstance(kept, dict):
        kept = list(kept.values())
    return sum(activations(one, seen) for one in kept) if isinstance(kept, (list, tuple)) else 0
