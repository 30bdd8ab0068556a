"""Measured seconds of each block, where counted operations would mislead: a block that moves memory costs more than its flops.

One training step is timed block by block on this machine, on random numbers of the right shapes; the median of a few
rounds, after one that compiles and warms up.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np

from ..core.context import Context
from ..core.shape import Shape
from ..kernels.pool import Pool
from .replica import Replica
from .sequential import Sequential

ROUNDS = 5


def seconds(
    model: Sequential, shape: Shape, batch: int, dtype: Any = np.float32, backend: str = "cpu", integers: bool = False
) -> list[tuple[float, float]]:
    """(forward, backward) seconds of each block for a micro-batch of so many samples of `shape`.

    integers: the input is int64 (tokens).
    """
    replica = Replica(model, shape, dtype).initialise(0, backend)
    rng = np.random.default_rng(0)
    x = np.zeros((batch, *shape), np.int64) if integers else rng.standard_normal((batch, *shape)).astype(dtype)
    pool = Pool()
    rounds = [_round(model, replica, x, pool, backend) for _ in range(ROUNDS + 1)][1:]
    return [(median(r[i][0] for r in rounds), median(r[i][1] for r in rounds)) for i in range(len(model))]


def _round(model: Sequential, replica: Replica, x: Any, pool: Pool, backend: str) -> list[list[float]]:
    ctx = Context(training=True, samples=np.arange(len(x)), backend=backend, pool=pool)
    replica.clear()
    spent, saved = [], []
    for name, block in model.children():
        began = time.perf_counter()
        x, kept = block.forward(replica.p.get(name, {}), x, ctx.at(name))
        spent.append([time.perf_counter() - began])
        saved.append(kept)
    dy = np.random.default_rng(1).standard_normal(x.shape).astype(x.dtype)
    for i, (name, block) in reversed(list(enumerate(model.children()))):
        inner = ctx.at(name, input_gradient=i > 0)
        began = time.perf_counter()
        dy = block.backward(replica.p.get(name, {}), replica.g.get(name, {}), saved.pop(), dy, inner)
        spent[i].append(time.perf_counter() - began)
    return spent
