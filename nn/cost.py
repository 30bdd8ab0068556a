"""What a network costs, found by running it on the backend "shapes".

A second description of every layer (its flops, what it keeps) would have to be kept true; the layers themselves cannot be
wrong about what they do. On that backend nothing is computed and results are zeros that no memory is spent on, so a
network of any size is measured in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.cost import Cost
from ..core.shape import Shape
from ..kernels.op import Call, counting
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
    replica, asked = Replica(model, shape, dtype), []

    def total(a: Any) -> Any:
        asked.append(a.size)
        return a

    skips = {name: np.zeros((1, *there), dtype) for name, there in (stash or {}).items()}
    ctx = Context(training=True, samples=np.zeros(1, np.int64), backend="shapes", total=total, stash=skips)
    x = np.zeros((1, *shape), np.int64 if integers else dtype)
    forward, outputs, saved, sums = [], [], [], []
    for name, block in model.children():
        with counting() as calls:
            x, kept = block.forward(replica.p.get(name, {}), x, ctx.at(name))
        forward.append(flops(calls))
        outputs.append(x)
        saved.append(kept)
        sums.append(taken(asked))
    seen: set[int] = set()
    activations([arena.flat for arena in (replica.weights, replica.borrowed, replica.buffers)], seen)  # no activations
    kept_bytes = [activations(kept, seen) for kept in saved]
    backward: list[int] = []
    dy: Any = np.zeros_like(x)
    for i, (name, block) in reversed(list(enumerate(model.children()))):
        inner = ctx.at(name, input_gradient=model.first + i > 0)
        with counting() as calls:
            dy = block.backward(replica.p.get(name, {}), replica.g.get(name, {}), saved.pop(), dy, inner)
        backward.insert(0, flops(calls))
        sums[i] += taken(asked)
    owned = replica.weights.layout.owned()
    return [
        Cost(
            name,
            block.kind,
            outputs[i].shape[1:],
            sum(spec.size for spec in owned if spec.name.split(".")[0] == name),
            forward[i],
            backward[i],
            kept_bytes[i],
            outputs[i].nbytes,
            sums[i],
        )
        for i, (name, block) in enumerate(model.children())
    ]


def taken(asked: list[int]) -> tuple[int, ...]:
    """What was asked for since the last time."""
    found = tuple(asked)
    asked.clear()
    return found


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
