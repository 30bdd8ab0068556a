"""Containers: what is by at each cut of a list, ties, and the words of every mistake. Gradients: tests/nn/test_gradients.py."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.kernels.pool import Pool
from shoal.nn import (
    Arena,
    Concat,
    Conv2d,
    Layout,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    Pop,
    ReLU,
    Residual,
    Sequential,
    Stash,
)
from shoal.nn.stash import live


class Twice(ReLU):
    """Stands for an upsampling: (H, W, C) -> (2H, 2W, C)."""

    def out_shape(self, shape):
        return (2 * shape[0], 2 * shape[1], shape[2])


U = [  # the outer skip lives across the inner one
    Conv2d(4, 3, padding=1),
    Stash("high"),
    MaxPool2d(2),
    Stash("low"),
    Conv2d(4, 1),
    Pop("low", 4, "add"),
    Twice(),
    Pop("high", 4),
]


def test_what_is_put_by_before_each_block_is_this_table() -> None:
    high, low = {"high": (8, 8, 4)}, {"low": (4, 4, 4)}
    assert live(U, (8, 8, 2)) == [{}, {}, high, high, high | low, high | low, high, high]


def test_the_order_of_pops_is_free() -> None:
    a, b = {"a": (3,)}, {"b": (3,)}
    crossed = [Stash("a"), Stash("b"), Pop("a", 3, "add"), Pop("b", 3, "add")]
    assert live(crossed, (3,)) == [{}, a, a | b, b]


@pytest.mark.parametrize(
    "blocks, words",
    [
        ([Pop("a", 3)], r'block 0: Pop\("a"\), but what is put by there is nothing'),
        ([Stash("b"), Pop("a", 3)], r'block 1: Pop\("a"\), but what is put by there is b'),
        ([Stash("a")], "stashed and never popped: a"),
        ([Stash("a"), Stash("a"), Pop("a", 3)], r'block 1: Stash\("a"\) is the second of that name'),
        ([Stash("a"), Pop("a", 3), Pop("a", 3)], r'block 2: Pop\("a"\), but what is put by there is nothing'),
        ([Stash("a"), Pop("a", 2)], r'block 1: Pop\("a"\) expects \(4, 4, 2\), but \(4, 4, 3\) was put by'),
        (
            [Stash("a"), MaxPool2d(2), Pop("a", 3)],
            r'block 2: Pop\("a"\) expects \(2, 2, 3\), but \(4, 4, 3\) was put by',
        ),
        ([Stash("a"), Conv2d(2, 1), Pop("a", 3, "add")], r'Pop\("a"\) adds 3 channels to 2'),
        ([MaxPool2d(2, stash="a")], "stashed and never popped: a"),
        ([MaxUnpool2d(2, stash="a")], r'block 0: MaxUnpool2d\("a"\), but what is put by there is nothing'),
        (
            [MaxPool2d(2, stash="a"), MaxPool2d(2), MaxUnpool2d(2, stash="a")],
            r"expects \(1, 1, 3\), but \(2, 2, 3\) was put by",
        ),
        ([Sequential(Stash("a")), Pop("a", 3)], r'Pop\("a"\), but what is put by there is nothing'),
    ],
)
def test_a_skip_that_does_not_fit_is_refused_before_anything_runs(blocks, words) -> None:
    with pytest.raises(UsageError, match=words):
        Sequential(*blocks).specs((4, 4, 3))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Residual(Linear(3)).out_shape((4,)), r"the body makes \(3,\) of \(4,\), the shortcut \(4,\)"),
        (lambda: Residual(Linear(3), activation="gelu"), 'activation "gelu" is not known'),
        (lambda: Concat(Linear(3)), "Concat of 1 branches joins nothing"),
        (lambda: Concat(MaxPool2d(2), Conv2d(3, 1)).out_shape((4, 4, 2)), "differ before the last axis"),
        (lambda: Pop("a", 1, "mul"), 'how = "mul" is not known'),
        (lambda: Sequential(Linear(3), tie={"1.weight": "0.weight"}).specs((3,)), r"tie: there is no 1\.weight"),
        (
            lambda: Layout(Sequential(Linear(3), Linear(4), tie={"1.weight": "0.weight"}).specs((3,))),
            "is an alias of 0.weight",
        ),
    ],
)
def test_a_container_that_does_not_fit_names_the_numbers(make, words) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_tied_weights_are_one_tensor_and_counted_once() -> None:
    model = Sequential(Linear(4), Linear(4), tie={"1.weight": "0.weight"})
    arena = Arena(Layout(model.specs((4,))), np.float64).initialise(0, "reference")
    assert arena.layout.parameters == 4 * 4 + 4 + 4
    assert np.shares_memory(arena["0.weight"], arena["1.weight"])


def test_the_stash_is_empty_after_forward_and_after_backward() -> None:
    model = Sequential(Stash("a"), Linear(3), Pop("a", 4), Linear(2))
    arena = Arena(Layout(model.specs((4,))), np.float64).initialise(0, "reference")
    ctx = Context(training=True, backend="reference")
    y, saved = model.forward(arena.views, np.ones((2, 4)), ctx)
    assert ctx.stash == {}
    model.backward(arena.views, arena.like().views, saved, np.ones_like(y), ctx)
    assert ctx.stash == {}


def test_two_micro_batches_with_their_own_stash_do_not_mix() -> None:
    model = Sequential(Stash("a"), Linear(3, bias=False), Pop("a", 3, "add"))
    arena = Arena(Layout(model.specs((3,))), np.float64)
    xs = [np.full((1, 3), 1.0), np.full((1, 3), 2.0)]
    contexts = [Context(backend="reference") for _ in xs]
    for block in range(3):  # interleaved, as a pipeline does it
        for i, ctx in enumerate(contexts):
            xs[i] = model.blocks[block].forward(arena.views.get(str(block), {}), xs[i], ctx)[0]
    assert [x[0, 0] for x in xs] == [1.0, 2.0]


@pytest.mark.parametrize(
    "block", [Residual(Linear(4)), Concat(Linear(2), Linear(3)), Residual(Sequential(), Linear(4), "relu")]
)
def test_a_container_takes_its_big_arrays_from_the_pool(block) -> None:
    arena = Arena(Layout(block.specs((4,))), np.float64).initialise(0, "reference")
    pool = Pool()
    ctx = Context(training=True, backend="reference", pool=pool)
    x, dy = np.ones((2, 4)), np.ones((2, *block.out_shape((4,))))

    def step() -> None:
        _, saved = block.forward(arena.views, x, ctx)
        block.backward(arena.views, arena.like().views, saved, dy, ctx)

    step()
    misses = pool.misses
    step()
    assert misses > 0 and pool.misses == misses
