"""Embedding and Positions: tables that are looked up, one by what a token is, the other by where it stands.

Both gradients are sums over the batch into rows of the table, made in the order of the tokens, so they are the same
whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import DataError, UsageError
from ..core.shape import Shape, prod, some
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class Embedding(Module):
    """A row of the table for each token.

        y[n,t,c] = weight[x[n,t], c]

    x: (N, ...) int64   weight: (V, C)   ->   y: (N, ..., C).   DataError for a token outside [0, V).   Tokens have no gradient:
    backward returns None.   Starts normal with `deviation`, 1 as in torch.nn.Embedding.
    """

    def __init__(self, vocabulary: int, width: int, *, deviation: float = 1.0):
        self.vocabulary = some("vocabulary", vocabulary)
        self.width = some("width", width)
        self.deviation = deviation

    def specs(self, shape: Shape) -> list[Spec]:
        return [Spec("weight", (self.vocabulary, self.width), Init("normal", self.deviation))]

    def out_shape(self, shape: Shape) -> Shape:
        return (*shape, self.width)

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        if x.size and not (x.min() >= 0 and x.max() < self.vocabulary):
            n = np.argwhere((x < 0) | (x >= self.vocabulary))[0]
            raise DataError(
                f"token {x[tuple(n)]} at {tuple(map(int, n))} of a batch {x.shape} is not in [0, {self.vocabulary})",
                f"make the vocabulary of Embedding({self.vocabulary}, {self.width}) as large as the data's",
            )
        return ops.gather(p["weight"], x, pool=ctx.pool, backend=ctx.backend), x

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        place = {"pool": ctx.pool, "backend": ctx.backend}
        ops.scatter_add(dy, saved, size=self.vocabulary, accumulate=True, out=g["weight"], **place)


class Positions(Module):
    """Adds what is learned about each position.

        y[n,t,c] = x[n,t,c] + weight[t,c]

    x: (N, T, C), T <= length   weight: (length, C)   ->   y like x.   Starts normal with deviation 0.02.
    After Radford et al. 2018, "Improving language understanding by generative pre-training".
    """

    def __init__(self, length: int):
        self.length = length

    def specs(self, shape: Shape) -> list[Spec]:
        return [Spec("weight", (self.length, self.out_shape(shape)[1]), Init("normal", 0.02), decay=False)]

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[0] > self.length:
            raise UsageError(
                f"Positions({self.length}) takes samples of shape (T, C) with T <= {self.length}, not {shape}"
            )
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        self.out_shape(x.shape[1:])
        return ops.add_bias(x, p["weight"][: x.shape[1]], pool=ctx.pool, backend=ctx.backend), None

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        rows = g["weight"][: dy.shape[1]].reshape(-1)
        samples = dy.reshape(dy.shape[0], prod(dy.shape[1:]))
        ops.column_sum(samples, accumulate=True, out=rows, pool=ctx.pool, backend=ctx.backend)
        return dy if ctx.input_gradient else None
