"""Shares of a batch: exact, ragged or not, the same on every rank."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.core.partition import Partition

weights = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=9).filter(lambda s: sum(s) > 0)


@pytest.mark.parametrize(
    "shares, total, counts",
    [
        ((1, 1), 64, [32, 32]),
        ((1, 1, 1), 64, [22, 21, 21]),
        ((3, 1), 64, [48, 16]),
        ((3, 1), 7, [5, 2]),
        ((1, 0), 5, [5, 0]),
        ((1, 1, 1, 1), 2, [1, 1, 0, 0]),
        ((1, 1), 0, [0, 0]),
    ],
)
def test_counts_are_these(shares: tuple, total: int, counts: list) -> None:
    assert Partition(shares).counts(total) == counts


@given(weights, st.integers(0, 5000))
def test_counts_add_up_and_are_within_one_of_the_exact_share(shares: list, total: int) -> None:
    partition = Partition(tuple(shares))
    counts = partition.counts(total)
    assert sum(counts) == total
    exact = [total * s / sum(shares) for s in shares]
    assert all(abs(c - e) < 1 + 1e-9 * total for c, e in zip(counts, exact, strict=True))


@given(weights, st.integers(0, 5000))
def test_bounds_tile_the_batch(shares: list, total: int) -> None:
    partition = Partition(tuple(shares))
    bounds = [partition.bounds(total, rank) for rank in range(len(shares))]
    assert bounds[0][0] == 0 and bounds[-1][1] == total
    assert all(a[1] == b[0] for a, b in pairwise(bounds))


def test_no_shares_means_equal() -> None:
    assert Partition.of([], 3).counts(9) == [3, 3, 3]


@pytest.mark.parametrize("shares", [[0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1], [1e308, 1e308], [1e308, 1]])
def test_impossible_shares_are_refused(shares: list) -> None:
    with pytest.raises(UsageError, match=r"parallel\.shares"):
        Partition.of(shares, 2)


def test_the_wrong_number_of_shares_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match=r"(?s)3 shares .* 2 ranks.*give parallel.shares 2 numbers"):
        Partition.of([1, 1, 1], 2)
