"""The dry run: its numbers are those of the run that follows."""

from __future__ import annotations

import pytest

from shoal.core.errors import UsageError
from shoal.nn.arena import Layout
from shoal.nn.models import build
from shoal.train.config import load
from shoal.train.dry_run import plan


def test_blocks_shapes_and_parameters() -> None:
    found = plan(load("digits-cnn"), 1)
    assert [(block.kind, block.shape, block.parameters) for block in found.blocks] == [
        ("Conv2d", (8, 8, 16), 160),
        ("Conv2d", (8, 8, 32), 4640),
        ("MaxPool2d", (4, 4, 32), 0),
        ("Flatten", (512,), 0),
        ("Dropout", (512,), 0),
        ("Linear", (10,), 5130),
    ]
    parameters = Layout(build("digits-cnn", (8, 8, 1), 10).specs((8, 8, 1))).parameters
    assert sum(block.parameters for block in found.blocks) == parameters


def test_shares_are_those_of_the_partition_even_for_ranks_that_are_not_here() -> None:
    found = plan(load("digits-cnn", ["parallel.shares=3,1,0"]), 1)
    assert [rank.samples for rank in found.ranks] == [48, 16, 0]
    with pytest.raises(UsageError, match="2 shares"):
        plan(load("digits-cnn", ["parallel.shares=3,1"]), 4)


def test_one_rank_sends_nothing() -> None:
    assert [(rank.messages, rank.bytes) for rank in plan(load("digits-cnn"), 1).ranks] == [(0, 0)]


@pytest.mark.parametrize("name, slots", [("0.9", 3), ("0", 2)])
def test_memory_counts_the_arenas(name: str, slots: int) -> None:
    layout = Layout(build("digits-cnn", (8, 8, 1), 10).specs((8, 8, 1)))
    config = load("digits-cnn", [f"optim.momentum={name}", "train.dtype=float64"])
    assert plan(config, 1).ranks[0].arenas == slots * layout.size * 8


def test_memory_counts_what_backward_needs_and_the_widest_gradients() -> None:
    kept = 8 * 8 * (1 + 16 + 32) * 4 + 4 * 4 * 32 * (
        4 + 4
    )  # inputs and outputs of the convolutions; where maxima were; dense input
    widest = 8 * 8 * (16 + 32) * 4
    [rank] = plan(load("digits-cnn"), 1).ranks
    assert rank.activations == 64 * (kept + widest)
