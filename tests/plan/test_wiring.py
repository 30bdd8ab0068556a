"""Wiring: every send and receive of a table, and the proof that the programs come to their end."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import run, serial

from shoal.core.errors import UsageError
from shoal.plan import SCHEDULES, Action, Edge, PipelineShape, Skip, graph, table, wire
from shoal.plan.program import Post, Receive, Send
from shoal.plan.schedule import inference

F, B = "forward", "backward"


def chain(parts: int, *skips: Skip):
    """One block a part."""
    return graph([(k, k + 1) for k in range(parts)], skips)


def row(text: str) -> list[Action]:
    """Actions from the words they print as."""
    kinds = {"F": F, "B": B, "U": "update"}
    actions = []
    for word in text.split():
        number, _, chunk = word[1:].rstrip("'").partition(".")
        actions.append(Action(kinds[word[0]], int(number), int(chunk or 0), word.count("'")))
    return actions


# --- literal programs ------------------------------------------------------------------------------------------------


def test_two_ranks_of_1f1b() -> None:
    assert str(wire(table("1f1b", PipelineShape(2, 2)), chain(2))).splitlines() == [
        "0  post B0 x 1>0, F0, send F0 x 0>1, F1, send F1 x 0>1, "
        "post B1 x 1>0, recv B0 x 1>0, B0, recv B1 x 1>0, B1, U1",
        "1  post F0 x 0>1, "
        "post F1 x 0>1, recv F0 x 0>1, F0, B0, send B0 x 1>0, recv F1 x 0>1, F1, B1, send B1 x 1>0, U1",
    ]


def test_a_skip_goes_straight_from_the_stage_that_made_it_to_the_stage_that_pops_it() -> None:
    wired = wire(table("naive", PipelineShape(3, 1)), chain(3, Skip("s", 0, 2)), ahead=0)
    assert str(wired).splitlines() == [
        "0  F0, send F0 x 0>1, send F0 s 0>2, post B0 x 1>0, post B0 s 2>0, recv B0 x 1>0, recv B0 s 2>0, B0, U0",
        "1  post F0 x 0>1, recv F0 x 0>1, F0, send F0 x 1>2, post B0 x 2>1, recv B0 x 2>1, B0, send B0 x 1>0, U0",
        "2  post F0 x 1>2, post F0 s 0>2, recv F0 x 1>2, recv F0 s 0>2, F0, B0, send B0 x 2>1, send B0 s 2>0, U0",
    ]


def test_a_skip_inside_a_part_is_no_edge() -> None:
    inside = graph([(0, 3), (3, 5)], [Skip("a", 0, 2), Skip("b", 1, 4), Skip("c", 3, 4)])
    assert inside.edges == (Edge("x", 0, 1), Edge("b", 0, 1))


def test_one_rank_says_nothing_to_itself() -> None:
    assert str(wire(table("1f1b", PipelineShape(1, 2)), chain(1))) == "0  F0, B0, F1, B1, U1"


def test_chunks_hand_over_on_their_rank_without_a_message() -> None:
    wired = wire([row("F0 F0.1 B0.1 B0")], chain(2))
    assert str(wired) == "0  F0, F0.1, B0.1, B0"
    assert run(wired.programs, min) == serial(wired.graph, 1)


# --- any shape -------------------------------------------------------------------------------------------------------


@st.composite
def pipelines(draw, most_parts: int = 6):
    """(schedule, shape, graph with skips): some blocks a part, skips between any two of them."""
    parts = draw(st.integers(1, most_parts))
    sizes = draw(st.lists(st.integers(1, 3), min_size=parts, max_size=parts))
    stops = [sum(sizes[: k + 1]) for k in range(parts)]
    ends = st.tuples(st.integers(0, stops[-1] - 1), st.integers(0, stops[-1] - 1)).filter(lambda e: e[0] < e[1])
    pairs = draw(st.lists(ends, max_size=5)) if stops[-1] > 1 else []
    bounds = [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
    skips = [Skip(f"s{i}", made, popped) for i, (made, popped) in enumerate(pairs)]
    shape = PipelineShape(parts, draw(st.integers(1, 9)))
    return draw(st.sampled_from(sorted(SCHEDULES))), shape, graph(bounds, skips)


any_pipeline = settings(max_examples=40, deadline=None, derandomize=True)


@any_pipeline
@given(pipelines(), st.integers(0, 1000))
def test_in_whatever_order_the_ranks_run_every_part_is_given_what_the_serial_run_gives_it(pipeline, seed: int) -> None:
    name, shape, blocks = pipeline
    made = run(wire(table(name, shape), blocks).programs, random.Random(seed).choice)
    assert {key: story for key, story in made.items() if key[0] != "update"} == serial(blocks, shape.micro_batches)


@any_pipeline
@given(pipelines())
def test_every_message_is_posted_received_and_sent_once_and_streams_ascend(pipeline) -> None:
    name, shape, blocks = pipeline
    programs = wire(table(name, shape), blocks).programs
    found = {
        kind: Counter(one.message for p in programs for one in p if isinstance(one, kind))
        for kind in (Post, Receive, Send)
    }
    assert found[Post] == found[Receive] == found[Send]
    assert set(found[Send].values()) <= {1}
    assert len(found[Send]) == 2 * len(blocks.edges) * shape.micro_batches
    for program in programs:
        for kind in (Post, Receive, Send):
            streams: dict = {}
            for one in program:
                if isinstance(one, kind):
                    streams.setdefault(one.message.stream, []).append(one.message.micro_batch)
            assert all(numbers == list(range(shape.micro_batches)) for numbers in streams.values())


@any_pipeline
@given(pipelines(), st.integers(1, 2))
def test_no_more_receives_are_posted_than_said(pipeline, ahead: int) -> None:
    name, shape, blocks = pipeline
    for program in wire(table(name, shape), blocks, ahead).programs:
        waiting: Counter = Counter()
        for one in program:
            if isinstance(one, Post):
                waiting[one.message.stream] += 1
                assert waiting[one.message.stream] <= ahead * one.message.edge.span + 1
            elif isinstance(one, Receive):
                waiting[one.message.stream] -= 1


@any_pipeline
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))
def test_inference_ends_with_any_number_of_chunks(ranks: int, chunks: int, micro_batches: int) -> None:
    wired = wire(inference(PipelineShape(ranks, micro_batches, chunks)), chain(ranks * chunks))
    assert run(wired.programs, min) == serial(wired.graph, micro_batches, ["inference"])


def test_tags_tell_edges_directions_and_replicas_apart() -> None:
    rows = [row("F0 B0 F0' B0'"), row("F0 B0 F0' B0'")]
    blocks = graph([(0, 2), (2, 4)], [Skip("s", 0, 3)])
    wired = wire(rows, blocks, place=lambda rank, chunk, replica: rank if replica == 0 else 1 - rank)
    messages = {one.message for program in wired.programs for one in program if isinstance(one, Send)}
    assert len(messages) == 8 and {message.tag for message in messages} == set(range(8))


def test_chunks_taken_breadth_first_need_more_posted() -> None:
    """Met when inference ran all micro-batches of one chunk before the next: rank 0 runs m ahead of what comes back to it."""
    rows = [row("F0 F1 F2 F3 F0.1 F1.1 F2.1 F3.1")] * 2
    with pytest.raises(UsageError, match="the schedule deadlocks"):
        wire(rows, chain(4))
    wire(rows, chain(4), ahead=2)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_receives_posted_only_when_needed_deadlock_1f1b_and_the_cycle_is_shown() -> None:
    """Two neighbours send to each other at once, F down and B up, and neither has posted: why others fuse the two."""
    with pytest.raises(UsageError) as caught:
        wire(table("1f1b", PipelineShape(2, 3)), chain(2), ahead=0)
    assert str(caught.value).splitlines() == [
        "the schedule deadlocks:",
        '  rank 0 stands at "send F1 x 0>1" until rank 1 has posted F1 x 0>1',
        '  rank 1 stands at "send B0 x 1>0" until rank 0 has posted B0 x 1>0',
        "  cure: post receives earlier (a larger `ahead`), or change the order of the actions",
    ]


@pytest.mark.parametrize("name", ["naive", "gpipe"])
def test_naive_and_gpipe_need_no_receive_posted_ahead(name: str) -> None:
    wire(table(name, PipelineShape(4, 5)), chain(4, Skip("s", 0, 3), Skip("t", 1, 3)), ahead=0)


def test_ranks_that_wait_for_each_other_deadlock_whatever_is_posted() -> None:
    """Rank 0 wants the gradient of micro-batch 0 before it starts 1; rank 2 wants both forwards first."""
    rows = [row("F0 B0 F1 B1"), row("F0 F1 B0 B1"), row("F0 F1 B0 B1")]
    with pytest.raises(UsageError) as caught:
        wire(rows, chain(3), ahead=9)
    assert str(caught.value).splitlines()[:3] == [
        "the schedule deadlocks:",
        '  rank 0 stands at "recv B0 x 1>0" until rank 1 has sent B0 x 1>0',
        '  rank 1 stands at "recv F1 x 0>1" until rank 0 has sent F1 x 0>1',
    ]


@st.composite
def wild_tables(draw):
    """Tables that obey the laws, with the forwards of each rank anywhere before their backwards."""
    ranks, m = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    rows = []
    for _ in range(ranks):
        places = sorted(draw(st.lists(st.integers(0, m), min_size=m, max_size=m)))  # backwards before which forward
        words = sorted(
            [(i, 0, f"F{i}") for i in range(m)] + [(max(i + 1, at), -1, f"B{i}") for i, at in enumerate(places)]
        )
        rows.append(row(" ".join(word for *_, word in words)))
    return rows


@settings(max_examples=100, deadline=None, derandomize=True)
@given(wild_tables(), st.integers(0, 2), st.booleans(), st.integers(0, 1000))
def test_the_verdict_is_that_of_a_run_in_any_order(rows, ahead: int, skip: bool, seed: int) -> None:
    blocks = chain(len(rows), *[Skip("s", 0, len(rows) - 1)] * skip)
    with pytest.MonkeyPatch.context() as unproven:
        unproven.setattr("shoal.plan.wiring.walk", lambda programs: ())
        programs = wire(rows, blocks, ahead).programs
    try:
        run(programs, random.Random(seed).choice)
    except AssertionError as stuck:
        assert "nobody can go on" in str(stuck)
        with pytest.raises(UsageError, match="the schedule deadlocks"):
            wire(rows, blocks, ahead)
    else:
        wire(rows, blocks, ahead)


def test_a_cycle_does_not_name_the_ranks_that_only_wait_for_it() -> None:
    rows = [row("F0 F1 B0 B1"), row("F0 B0 F1 B1"), row("F0 F1 B0 B1")]
    with pytest.raises(UsageError) as caught:
        wire(rows, chain(3))
    assert "rank 0" not in str(caught.value)
    assert 'rank 2 stands at "recv F1 x 1>2" until rank 1 has sent' in str(caught.value)


def test_a_rank_that_waits_for_itself_is_shown() -> None:
    with pytest.raises(UsageError, match=r'rank 0 stands at "F0.1" until rank 0 has given F0 x 0>0'):
        wire([row("F0.1 F0")], chain(2))


@pytest.mark.parametrize(
    "rows, parts, problem",
    [
        ([row("F0 F1"), row("F0")], 2, "F1 x 0>1: given and never taken"),
        ([row("F0"), row("F0 F1")], 2, "F1 x 0>1: taken and never given"),
        ([row("F0 B0"), row("F0")], 2, "B0 x 1>0: taken and never given"),
        ([row("F0"), row("F0")], 3, r"3 parts and 2 ranks.*no rank holds \[\(2, 0\)\]"),
        ([row("F0"), row("F0 F0.1")], 2, r"there is no \[\(3, 0\)\]"),
    ],
)
def test_tables_that_do_not_fit_the_parts_are_refused(rows, parts: int, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        wire(rows, chain(parts))


def test_a_part_on_two_ranks_is_refused() -> None:
    with pytest.raises(UsageError, match="two ranks hold the same part"):
        wire([row("F0"), row("F0")], chain(1), place=lambda rank, chunk, replica: 0)


@pytest.mark.parametrize("bounds", [[], [(1, 2)], [(0, 2), (3, 4)], [(0, 2), (1, 4)], [(0, 0), (0, 1)]])
def test_bounds_that_leave_out_or_repeat_a_block_are_refused(bounds) -> None:
    with pytest.raises(UsageError, match="one after the other from 0"):
        graph(bounds)


@pytest.mark.parametrize(
    "skips, problem",
    [
        ([Skip("s", 2, 1)], 'skip "s" is made in block 2 and popped in block 1 of 4'),
        ([Skip("s", 1, 4)], "popped in block 4 of 4"),
        ([Skip("s", 0, 1), Skip("s", 1, 2)], r"\['s'\] need other names"),
        ([Skip("x", 0, 1)], r"\['x'\] need other names"),
    ],
)
def test_skips_that_cannot_be_are_refused(skips, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        graph([(0, 2), (2, 4)], skips)
