"""Buckets as literal tables: which slice of the arena leaves after which block."""

from __future__ import annotations

import pytest

from shoal.core.spec import Spec
from shoal.mpi.buckets import Bucket, cut
from shoal.nn import Layout

# sizes are padded to 16 elements: [0, 32) [32, 48) [48, 64) [64, 112)
PLAIN = [Spec("0.weight", (32,)), Spec("0.bias", (2,)), Spec("2.weight", (16,)), Spec("3.weight", (5, 8))]
TIED = [*PLAIN[:2], Spec("2.weight", (16,), alias_of="3.weight"), Spec("3.weight", (16,))]


@pytest.mark.parametrize(
    "elements, buckets",
    [
        (1, [Bucket(3, 64, 112), Bucket(2, 48, 64), Bucket(0, 32, 48), Bucket(0, 0, 32)]),
        (48, [Bucket(3, 64, 112), Bucket(0, 0, 64)]),
        (60, [Bucket(2, 48, 112), Bucket(0, 0, 48)]),
        (1000, [Bucket(0, 0, 112)]),
    ],
)
def test_buckets_are_closed_once_they_are_full(elements: int, buckets: list[Bucket]) -> None:
    assert cut(Layout(PLAIN), elements) == buckets


def test_a_tied_tensor_waits_for_the_lowest_block_that_uses_it() -> None:
    assert cut(Layout(TIED), 1) == [Bucket(2, 48, 64), Bucket(0, 32, 48), Bucket(0, 0, 32)]


def test_a_model_without_weights_has_no_buckets() -> None:
    assert cut(Layout([]), 1) == []
