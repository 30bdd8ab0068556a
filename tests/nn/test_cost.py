"""Cost: flops and bytes counted by hand against those found by running; nothing is computed, so size is no matter."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from shoal.core.cost import Cost, total
from shoal.nn import Conv2d, Flatten, Linear, MaxPool2d, Pop, ReLU, Residual, Sequential, Stash
from shoal.nn.cost import activations, measure

MODEL = Sequential(Conv2d(4, 3, padding=1, activation="relu"), MaxPool2d(2), Flatten(), Linear(5))


def test_the_cost_of_each_block_is_this_table() -> None:
    conv, dense = 2 * 64 * 4 * 9 * 3, 2 * 64 * 5
    assert measure(MODEL, (8, 8, 3)) == [
        # backward of the first block: its relu, dw and the bias's sum, but no gradient of the input
        Cost("0", "Conv2d", (8, 8, 4), 4 * 27 + 4, conv, conv + 2 * 64 * 4, (8 * 8 * 3 + 8 * 8 * 4) * 4, 8 * 8 * 4 * 4),
        Cost("1", "MaxPool2d", (4, 4, 4), 0, 4 * 64, 64, 64 * 4, 64 * 4),  # keeps where the maxima were, int32
        Cost("2", "Flatten", (64,), 0, 0, 0, 0, 64 * 4),
        Cost("3", "Linear", (5,), 64 * 5 + 5, dense, 2 * dense + 5, 64 * 4, 5 * 4),
    ]


def test_the_whole_is_the_sum_and_ends_with_the_last_output() -> None:
    costs = measure(MODEL, (8, 8, 3))
    whole = total(costs)
    assert whole.activations == sum(cost.activations for cost in costs) and whole.parameters == 437
    assert (whole.shape, whole.output) == ((5,), 20)


def test_what_two_blocks_keep_is_counted_once() -> None:
    pair = measure(Sequential(Linear(6, activation="relu"), Linear(6, activation="relu")), (6,))
    assert [cost.activations for cost in pair] == [6 * 4 + 6 * 4, 6 * 4]  # the second keeps the first's output too


def test_float64_takes_twice_the_bytes_and_the_same_flops() -> None:
    single, double = (total(measure(MODEL, (8, 8, 3), dtype)) for dtype in (np.float32, np.float64))
    argmax = 64 * 4
    assert double.activations - argmax == 2 * (single.activations - argmax)
    assert (double.forward, double.backward) == (single.forward, single.backward)


def test_skips_and_residuals_are_run_like_the_rest() -> None:
    skip = measure(Sequential(Linear(4), Stash("a"), ReLU(), Pop("a", 4, "add"), Linear(4)), (4,))
    assert [cost.kind for cost in skip] == ["Linear", "Stash", "ReLU", "Pop", "Linear"]
    assert [cost.forward for cost in skip] == [32, 0, 4, 4, 32]
    residual = measure(Sequential(Linear(4), Residual(Linear(4))), (4,))[1]
    assert (residual.forward, residual.backward) == (32 + 4, 2 * 32 + 4 + 4)


def test_tied_weights_count_where_their_storage_is() -> None:
    costs = measure(Sequential(Linear(4, bias=False), Linear(4, bias=False), tie={"1.weight": "0.weight"}), (4,))
    assert [cost.parameters for cost in costs] == [16, 0]


def test_views_count_as_the_memory_they_keep_alive() -> None:
    whole = np.zeros((4, 8), np.float32)
    assert activations((whole[:1], {"other": whole.reshape(-1)}, None, 3), set()) == whole.nbytes
    assert activations((whole, whole.copy()), set()) == 2 * whole.nbytes


def test_no_memory_is_spent_on_a_large_network() -> None:
    """2 x 1 GB of weights and gradients are asked for and never touched, so the process does not grow by them."""

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    width = 1 << 14
    assert measure(Sequential(Linear(width)), (width,))[0].forward == 2 * width**2
    assert resident() - before < 100 << 20
