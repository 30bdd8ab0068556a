"""The simulator against the closed forms and the golden numbers of the papers, and against sums done by hand."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.plan import (
    Action,
    Costs,
    Edge,
    Link,
    PipelineShape,
    Simulation,
    Skip,
    Timeline,
    graph,
    peak_live,
    simulate,
    table,
    wire,
)
from shoal.plan.schedule import inference

any_shape = settings(max_examples=25, deadline=None, derandomize=True)
shapes = st.builds(PipelineShape, st.integers(1, 7), st.integers(1, 12))


def chain(parts: int, *skips: Skip):
    return graph([(k, k + 1) for k in range(parts)], skips)


def run(name: str, shape: PipelineShape, forward: float = 1.0, backward: float = 2.0) -> Simulation:
    p = shape.stages
    return simulate(wire(table(name, shape), chain(p)), Costs({"forward": [forward] * p, "backward": [backward] * p}))


@pytest.mark.parametrize("name", ["gpipe", "1f1b"])
@pytest.mark.parametrize("micro_batches, bubble", [(4, 0.4286), (8, 0.2727), (16, 0.1579), (32, 0.0857)])
def test_the_bubble_of_four_stages(name: str, micro_batches: int, bubble: float) -> None:
    assert run(name, PipelineShape(4, micro_batches)).timeline.bubble == pytest.approx(bubble, abs=5e-5)


@any_shape
@given(shapes, st.sampled_from(["gpipe", "1f1b"]), st.integers(1, 9), st.integers(1, 9))
def test_with_equal_stages_bubble_and_makespan_are_the_closed_forms(shape, name: str, f: int, b: int) -> None:
    p, m = shape.stages, shape.micro_batches
    timeline = run(name, shape, f, b).timeline
    assert timeline.makespan == (m + p - 1) * (f + b)
    assert timeline.bubble == pytest.approx((p - 1) / (m + p - 1))
    assert [timeline.busy(k) for k in range(p)] == [m * (f + b)] * p
    assert [timeline.idle(k) for k in range(p)] == [(p - 1) * (f + b)] * p


@any_shape
@given(shapes)
def test_in_the_naive_schedule_one_rank_computes_at_a_time(shape) -> None:
    timeline = run("naive", shape).timeline
    spans = sorted(timeline.spans, key=lambda span: (span.start, span.stop))
    assert all(a.stop <= b.start for a, b in pairwise(spans))
    assert timeline.bubble == pytest.approx(1 - 1 / shape.stages)


@any_shape
@given(shapes, st.sampled_from(["naive", "gpipe", "1f1b"]))
def test_live_activations_are_those_of_the_table(shape, name: str) -> None:
    assert run(name, shape).peak_live == [peak_live(row) for row in table(name, shape)]


def test_unequal_stages_wait_for_the_slowest() -> None:
    """2 stages, 1F1B, m = 2, stage 1 takes 3 + 3: F0 0-1, then stage 1 is never idle until its end."""
    costs = Costs({"forward": [1, 3], "backward": [1, 3], "update": [0.5, 0.25]})
    timeline = simulate(wire(table("1f1b", PipelineShape(2, 2)), chain(2)), costs).timeline
    assert [(str(s.action), s.start, s.stop) for s in timeline.of(1)] == [
        ("F0", 1, 4), ("B0", 4, 7), ("F1", 7, 10), ("B1", 10, 13), ("U1", 13, 13.25),
    ]  # fmt: skip
    assert [(str(s.action), s.start, s.stop) for s in timeline.of(0)] == [
        ("F0", 0, 1), ("F1", 1, 2), ("B0", 7, 8), ("B1", 13, 14), ("U1", 14, 14.5),
    ]  # fmt: skip
    assert timeline.makespan == 14.5


@pytest.mark.parametrize("overlap", [True, False])
def test_a_naive_batch_takes_the_sum_of_all_stages_and_all_transfers(overlap: bool) -> None:
    """sum_k (f_k + b_k) + 2 sum_k C_k, C = latency + bytes/bandwidth."""
    wired = wire(table("naive", PipelineShape(3, 1)), chain(3))
    costs = Costs({"forward": [1, 2, 3], "backward": [2, 4, 6]}, {Edge("x", 0, 1): 10, Edge("x", 1, 2): 40})
    done = simulate(wired, costs, Link(latency=0.5, bandwidth=20, overlap=overlap))
    assert done.timeline.makespan == 18 + 2 * ((0.5 + 10 / 20) + (0.5 + 40 / 20))
    assert (done.messages, done.sent) == ([1, 2, 1], [10, 50, 40])


@pytest.mark.parametrize("overlap, starts", [(True, [0, 1, 2]), (False, [0, 3, 6])])
def test_a_sender_computes_meanwhile_or_does_not(overlap: bool, starts: list[float]) -> None:
    wired = wire(inference(PipelineShape(2, 3)), chain(2))
    costs = Costs({"inference": [1, 0.5]}, {Edge("x", 0, 1): 2})
    timeline = simulate(wired, costs, Link(bandwidth=1, overlap=overlap)).timeline
    assert [span.start for span in timeline.of(0)] == starts
    assert [span.start for span in timeline.of(1)] == ([3, 5, 7] if overlap else [3, 6, 9])  # one message at a time


def test_a_message_leaves_when_its_receive_is_posted() -> None:
    """Rank 1 is busy with F0 until 11, and posts the receive of F1 only when it is done: nothing is posted ahead."""
    costs = Costs({"inference": [1, 10]}, {Edge("x", 0, 1): 2})
    late, early = (
        simulate(wire(inference(PipelineShape(2, 2)), chain(2), ahead), costs, Link(bandwidth=1))
        .timeline.of(1)[1]
        .start
        for ahead in (0, 1)
    )
    assert (late, early) == (15, 13)


def test_memory_is_weights_and_live_activations_and_posted_receives() -> None:
    """Rank 0 of 2, gpipe, m = 3: its 100 of weights, 3 activations of 7, and two gradients of 5 posted."""
    wired = wire(table("gpipe", PipelineShape(2, 3)), chain(2))
    costs = Costs({"forward": [1, 1], "backward": [1, 1]}, {Edge("x", 0, 1): 5}, live=[7, 9], fixed=[100, 200])
    done = simulate(wired, costs)
    assert done.peak_live == [3, 3]
    assert done.peak_bytes == [100 + 3 * 7 + 2 * 5, 200 + 3 * 9]
    assert simulate(wired, Costs({"forward": [1, 1], "backward": [1, 1]})).peak_bytes == [0, 0]


def test_a_skip_is_one_message_past_the_ranks_between() -> None:
    wired = wire(table("gpipe", PipelineShape(3, 4)), chain(3, Skip("s", 0, 2)))
    done = simulate(wired, Costs({"forward": [1] * 3, "backward": [2] * 3}, {Edge("s", 0, 2): 8}))
    assert (done.messages, done.sent) == ([2 * 4, 2 * 4, 2 * 4], [4 * 8, 0, 4 * 8])


@pytest.mark.parametrize("passes, makespan", [(2, 21), (8, 75)])
def test_two_replicas_in_opposite_order_are_a_table_like_any_other(passes: int, makespan: int) -> None:
    """GEMS MASTER (Jain et al. 2020): P f + eta P b + (eta - 1) f with f = 1, b = 2, P = 4; one live activation."""
    rows = [
        [Action(kind, i // 2, replica=i % 2) for i in range(passes) for kind in ("forward", "backward")]
        for _ in range(4)
    ]
    wired = wire(rows, chain(4), place=lambda rank, chunk, replica: 3 - rank if replica else rank)
    done = simulate(wired, Costs({"forward": [1] * 4, "backward": [2] * 4}))
    assert done.timeline.makespan == makespan
    assert done.peak_live == [1] * 4


@pytest.mark.parametrize(
    "costs, problem",
    [
        (Costs({"foward": [1, 1]}), "no actions of kind foward"),
        (Costs({"forward": [1]}), r"seconds\['forward'\] has 1 costs for 2 parts"),
        (Costs({}, live=[1, 2, 3]), "live has 3 costs for 2 parts"),
    ],
)
def test_costs_that_do_not_fit_are_refused(costs: Costs, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        simulate(wire(table("gpipe", PipelineShape(2, 1)), chain(2)), costs)


def test_an_empty_timeline_has_no_bubble() -> None:
    assert (Timeline(2, []).makespan, Timeline(2, []).bubble) == (0, 0)
