"""Cuts: the lightest heaviest stage, exactly, against every cut there is."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.plan import Cut, Memory, PipelineShape, cut, peak_live, table

costs_and_stages = st.lists(st.integers(0, 20), min_size=1, max_size=9).flatmap(
    lambda costs: st.tuples(st.just(costs), st.integers(1, len(costs)))
)
exactly = settings(max_examples=60, deadline=None, derandomize=True)


def every_cut(blocks: int, stages: int):
    for inner in combinations(range(1, blocks), stages - 1):
        yield tuple(pairwise((0, *inner, blocks)))


def weight(costs, bounds) -> tuple:
    loads = [sum(costs[start:stop]) for start, stop in bounds]
    return max(loads), sum(load**2 for load in loads)


@exactly
@given(costs_and_stages)
def test_no_cut_is_better(case) -> None:
    costs, stages = case
    found = cut(costs, stages)
    assert weight(costs, found.bounds) == min(weight(costs, bounds) for bounds in every_cut(len(costs), stages))
    assert found.loads == tuple(sum(costs[start:stop]) for start, stop in found.bounds)
    assert found.bounds in set(every_cut(len(costs), stages))


@exactly
@given(costs_and_stages, st.data())
def test_no_cut_that_fits_is_better(case, data) -> None:
    costs, stages = case
    numbers = st.lists(st.integers(0, 9), min_size=len(costs), max_size=len(costs))
    limits = st.lists(st.integers(1, 60), min_size=stages, max_size=stages)
    in_flight = [peak_live(row) for row in table("1f1b", PipelineShape(stages, 3))]
    memory = Memory(data.draw(numbers), data.draw(numbers), in_flight, data.draw(limits))
    fitting = [
        bounds
        for bounds in every_cut(len(costs), stages)
        if all(memory.need(k, *bound) <= memory.limit[k] for k, bound in enumerate(bounds))
    ]
    if fitting:
        assert weight(costs, cut(costs, stages, memory).bounds) == min(weight(costs, bounds) for bounds in fitting)
    else:
        with pytest.raises(UsageError, match="fits into memory"):
            cut(costs, stages, memory)


@pytest.mark.parametrize(
    "costs, stages, bounds, balance",
    [
        ([1, 1, 1, 1], 2, ((0, 2), (2, 4)), 1.0),
        ([1] * 5, 3, ((0, 1), (1, 3), (3, 5)), 1.2),
        ([4, 4, 4, 2, 2], 2, ((0, 2), (2, 5)), 1.0),
        ([1, 1, 9, 1, 1, 1, 1, 1], 3, ((0, 2), (2, 3), (3, 8)), 9 * 3 / 16),
        ([100, 1, 1, 1, 1], 3, ((0, 1), (1, 3), (3, 5)), 300 / 104),  # the others are even, though none of them counts
        ([0, 0, 5], 2, ((0, 1), (1, 3)), 2.0),  # of equal cuts the earliest
        ([0, 0], 2, ((0, 1), (1, 2)), 1.0),
        ([0.5], 1, ((0, 1),), 1.0),
    ],
)
def test_the_cut_is_this(costs, stages: int, bounds, balance: float) -> None:
    found = cut(costs, stages)
    assert found.bounds == bounds
    assert found.balance == pytest.approx(balance)


def test_a_cut_prints_what_a_person_wants_to_see() -> None:
    assert str(Cut(((0, 2), (2, 3)), (2.5, 1.5))) == "0: blocks 0..1 (2.5), 1: blocks 2..2 (1.5); heaviest/mean 1.25"


def test_a_stage_that_keeps_more_in_flight_gets_fewer_blocks() -> None:
    """1F1B keeps 2 micro-batches on rank 0 and 1 on rank 1: of 6 equal blocks with 10 bytes alive each, 40 bytes hold 2."""
    memory = Memory([0] * 6, [10] * 6, [2, 1], [40, 40])
    assert cut([1] * 6, 2, memory).bounds == ((0, 2), (2, 6))


def test_a_stage_that_does_not_fit_is_shown_with_its_numbers() -> None:
    memory = Memory([100] * 4, [10] * 4, [2, 1], [300, 200])
    with pytest.raises(UsageError) as caught:
        cut([1, 1, 1, 1], 2, memory)
    assert caught.value.problem == (
        "no cut of 4 blocks into 2 stages fits into memory: in the one that comes nearest, [(0, 2), (2, 4)], "
        "stage 1 needs 220 bytes with 1 micro-batches in flight, and has 200"
    )
    assert "more stages" in caught.value.cure


@pytest.mark.parametrize(
    "costs, stages, problem",
    [
        ([1, 2, 3], 4, r"(?s)4 stages of 3 blocks.*use 1 to 3 stages"),
        ([1, 2, 3], 0, "0 stages of 3 blocks"),
        ([1, -2], 1, "block 1 costs -2"),
        ([1, float("nan")], 1, "block 1 costs nan"),
        ([float("inf"), 1], 1, "block 0 costs inf"),
    ],
)
def test_impossible_cuts_are_refused(costs, stages: int, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        cut(costs, stages)


def test_memory_for_other_blocks_or_stages_is_refused() -> None:
    with pytest.raises(UsageError, match=r"2, 2, 1, 2 entries .* for 3 blocks, 2 stages"):
        cut([1, 1, 1], 2, Memory([1, 1], [1, 1], [1], [9, 9]))
    with pytest.raises(UsageError, match=r"limits \[0\]"):
        cut([1], 1, Memory([1], [1], [1], [0]))
