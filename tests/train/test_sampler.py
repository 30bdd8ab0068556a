"""The sampler: every sample once an epoch, the same order everywhere, any position found again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.train.sampler import Sampler, in_batches

SIZES = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def sampler(samples: int = 50, batch: int = 8, seed: int = 1) -> Sampler:
    return Sampler(samples, batch, seed, "reference")


@given(SIZES, st.integers(0, 2**63), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_an_epoch_is_every_sample_once_in_full_batches_and_a_rest(size: tuple[int, int], seed: int, epoch: int) -> None:
    samples, batch = size
    batches = sampler(samples, batch, seed).batches(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(samples))
    assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)
    assert len(batches) == len(sampler(samples, batch)) and 1 <= len(batches[-1]) <= batch


def test_two_samplers_give_the_same_order_and_so_do_ranks() -> None:
    assert (sampler().order(3) == sampler().order(3)).all()


def test_the_order_depends_on_seed_and_epoch() -> None:
    orders = {tuple(sampler(seed=seed).order(epoch).tolist()) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_the_order_is_written_down() -> None:
    """A new order would change every run that was ever published, and break resuming."""
    assert sampler(10).order(0).tolist() == [2, 7, 0, 4, 9, 8, 6, 5, 3, 1]


def test_cpu_and_reference_agree() -> None:
    assert (Sampler(500, 7, 4, "cpu").order(2) == sampler(500, 7, 4).order(2)).all()


@given(st.integers(0, 40))
@settings(deadline=None)
def test_a_run_cut_anywhere_sees_the_batches_it_would_have_seen(cut: int) -> None:
    whole = [b.tolist() for epoch in range(6) for b in sampler().batches(epoch)]
    epoch, start = sampler().position(cut)
    rest = [b.tolist() for b in sampler().batches(epoch, start)]
    rest += [b.tolist() for e in range(epoch + 1, 6) for b in sampler().batches(e)]
    assert rest == whole[cut:]


def test_batch_sizes_are_known_before_they_come() -> None:
    assert sampler(50, 8).sizes == [8, 2]
    assert sampler(48, 8).sizes == [8]


@pytest.mark.parametrize("batch", [0, -3, 51])
def test_an_impossible_batch_is_refused_with_both_numbers(batch: int) -> None:
    with pytest.raises(UsageError, match=rf"train\.batch = {batch} with 50 training samples"):
        sampler(50, batch)


def test_in_batches_keeps_order() -> None:
    assert [b.tolist() for b in in_batches(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]
