"""Recompute: the same bits for less memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal.core.context import Context
from shoal.core.cost import total
from shoal.kernels.pool import Pool
from shoal.mpi.threads import run
from shoal.nn import (
    Attention,
    BatchNorm,
    Conv2d,
    Dropout,
    Embedding,
    GlobalAvgPool,
    Last,
    Linear,
    Pop,
    Recompute,
    Replica,
    Residual,
    Sequential,
    Stash,
    recomputed,
)
from shoal.nn.cost import measure

SHAPE = (6, 6, 3)


def residual() -> Residual:
    return Residual(
        Sequential(
            Conv2d(4, 3, padding=1), BatchNorm(activation="relu"), Dropout(0.3), Conv2d(4, 3, padding=1), BatchNorm()
        )
    )


MODEL = Sequential(
    Conv2d(4, 3, padding=1), residual(), Stash("a"), residual(), Pop("a", 4), GlobalAvgPool(), Dropout(0.2), Linear(5)
)


def arrays(
    model: Sequential, backend: str, total: Any = None, samples: slice = slice(0, 8), pool: Pool | None = None
) -> list[bytes]:
    """Output, dx, gradients, statistics and buffers of one step."""
    replica = Replica(model, SHAPE, "float64").initialise(3, backend)
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((8, *SHAPE))[samples].copy(), rng.standard_normal((8, 5))[samples].copy()
    place: dict[str, Any] = {"backend": backend, "pool": pool} | ({"total": total} if total else {})
    ctx = Context(training=True, step=2, seed=9, samples=np.arange(8)[samples], **place)
    y, saved = model.forward(replica.p, x, ctx)
    y = y.copy()
    dx = model.backward(replica.p, replica.g, saved, dy, ctx)
    replica.commit()
    found = [y, dx, replica.gradients.flat, replica.statistics.flat, replica.buffers.flat]
    return [a.tobytes() for a in found]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_outputs_gradients_and_statistics_are_the_same_bits(backend: str) -> None:
    assert arrays(recomputed(MODEL, SHAPE), backend, pool=Pool()) == arrays(MODEL, backend, pool=Pool())


def test_also_where_normalisation_is_synchronised() -> None:
    def program(model: Sequential) -> Any:
        return lambda c: arrays(
            model, "reference", lambda a: c.allreduce(a.copy(), "normalisation"), slice(5 * c.rank, 5 + 3 * c.rank)
        )

    assert run(2, program(recomputed(MODEL, SHAPE)), deadline=60) == run(2, program(MODEL), deadline=60)


def test_statistics_are_counted_once() -> None:
    """And this comparison can fail: a block that adds them in forward counts them twice."""

    class Eager(BatchNorm):
        def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
            seen.append(len(x))
            return super().forward(p, x, ctx)

    def counted(block: BatchNorm) -> float:
        seen.clear()
        model = Sequential(Conv2d(4, 1), Recompute(block), GlobalAvgPool(), Linear(5))
        replica = Replica(model, SHAPE, "float64").initialise(3, "reference")
        ctx = Context(training=True, samples=np.arange(2), backend="reference")
        y, saved = model.forward(replica.p, np.ones((2, *SHAPE)), ctx)
        model.backward(replica.p, replica.g, saved, np.ones_like(y), ctx)
        return float(replica.statistics["1.count"][0])

    seen: list[int] = []
    assert counted(Eager()) == 2 * 6 * 6 and sum(seen) == 2 * 2


def test_names_and_weights_are_those_of_the_model() -> None:
    wrapped = recomputed(MODEL, SHAPE)
    assert wrapped.specs(SHAPE) == MODEL.specs(SHAPE) and wrapped.out_shape(SHAPE) == MODEL.out_shape(SHAPE)
    assert wrapped.blocks[1].children() == MODEL.blocks[1].children()


def test_blocks_are_wrapped_that_keep_much_and_leave_the_stash_alone() -> None:
    kinds = [block.kind for block in recomputed(MODEL, SHAPE).blocks]
    residual = "Residual, recomputed"
    assert kinds == ["Conv2d", residual, "Stash", residual, "Pop", "GlobalAvgPool", "Dropout", "Linear"]
    tokens = Sequential(Embedding(9, 4), Attention(2), Last(), Linear(9))
    assert [block.kind for block in recomputed(tokens, (5,), integers=True).blocks][1] == "Attention, recomputed"


def test_costs_say_less_memory_and_one_more_forward() -> None:
    plain, wrapped = (measure(model, SHAPE) for model in (MODEL, recomputed(MODEL, SHAPE)))
    assert total(wrapped).activations < total(plain).activations / 2
    again = [new.backward - old.backward for old, new in zip(plain, wrapped, strict=True)]
    assert again == [0 if "recomputed" not in new.kind else new.forward for new in wrapped]
    assert [cost.forward for cost in plain] == [cost.forward for cost in wrapped]


def test_a_pool_holds_less() -> None:
    pools = [Pool(), Pool()]
    deep = Sequential(Conv2d(4, 3, padding=1), *(residual() for _ in range(6)), GlobalAvgPool(), Linear(5))
    for model, pool in zip([deep, recomputed(deep, SHAPE)], pools, strict=True):
        arrays(model, "cpu", pool=pool)
    assert pools[1].bytes < 0.7 * pools[0].bytes
