"""What a network costs, found by running it on the backend "shapes".

A second description of every layer (its flops, what it keeps) would have to be kept true; the layers themselves cannot be
wrong about what they do. On that backend nothing is computed and results are zeros that no memory is spent on, so a
network of any size is measured in milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.cost import Cost
from ..core.shape import Shape
from ..kernels.op import Call, counting
from .replica import Replica
from .sequential import Sequential


def measure(model: Sequential, shape: Shape, dtype: Any = np.float32, integers: bool = False) -> list[Cost]:
    """The Cost of each block of `model` for one sample of `shape`, in a training step.

    integers: the input is int64 (tokens). The first block computes no gradient of its input, as in training.
    """
    replica = Replica(model, shape, dtype)
    ctx = Context(training=True, samples=np.zeros(1, np.int64), backend="shapes")
    x = np.zeros((1, *shape), np.int64 if integers else dtype)
    forward, outputs, saved = [], [], []
    for i, block in enumerate(model.blocks):
        with counting() as calls:
            x, kept = block.forward(replica.p.get(str(i), {}), x, ctx.at(str(i)))
        forward.append(flops(calls))
        outputs.append(x)
        saved.append(kept)
    seen: set[int] = set()
    activations([arena.flat for arena in (replica.weights, replica.buffers)], seen)  # weights are no activations
    kept_bytes = [activations(kept, seen) for kept in saved]
    backward = _backward(model, replica, saved, np.zeros_like(x), ctx)
    return [
        Cost(
            str(i),
            block.kind,
            outputs[i].shape[1:],
            sum(spec.size for spec in replica.weights.layout.owned() if spec.name.split(".")[0] == str(i)),
            forward[i],
            backward[i],
            kept_bytes[i],
            outputs[i].nbytes,
        )
        for i, block in enumerate(model.blocks)
    ]


def _backward(model: Sequential, replica: Replica, saved: list, dy: Any, ctx: Context) -> list[int]:
    counts = [0] * len(model)
    for i in reversed(range(len(model))):
        inner = ctx.at(str(i), input_gradient=i > 0)
        with counting() as calls:
            dy = model.blocks[i].backward(replica.p.get(str(i), {}), replica.g.get(str(i), {}), saved.pop(), dy, inner)
        counts[i] = flops(calls)
    return counts


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
