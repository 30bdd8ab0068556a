"""The recorder of one rank: what it keeps, and what it leaves alone."""

from __future__ import annotations

import pytest

from shoal.core.trace import NOTHING, Record, Trace, span


def ticking(**settings: int) -> Trace:
    """A trace whose clock is 1, 2, 3, ...: every look takes a second."""
    ticks = iter(range(1, 1000))
    trace = Trace(0, lambda: float(next(ticks)), **settings)
    trace.recording = True
    return trace


def test_spans_lie_one_in_another_and_carry_what_they_were_told() -> None:
    trace = ticking()
    with span(trace, "step", "step 0"), span(trace, "forward", "forward", "0", "Linear"):
        sent = span(trace, "communication", "send", "x", stream="communication", bytes=8).start()
    sent.stop()
    assert trace.take() == [
        Record("main", "forward", "forward 0 Linear", 2, 4, {}),
        Record("main", "step", "step 0", 1, 5, {}),
        Record("communication", "communication", "send x", 3, 6, {"bytes": 8}),
    ]


def test_without_a_trace_or_outside_its_window_there_is_nothing() -> None:
    trace = ticking()
    trace.recording = False
    for where in (None, trace):
        made = span(where, "step", "step 0")
        assert made is NOTHING
        with made:
            made.start().stop()
    assert trace.take() == [] and trace.clock() == 2  # take looked once, and nobody else


def test_what_began_in_the_window_is_kept_and_the_rest_is_not() -> None:
    trace = ticking()
    early = span(trace, "wait", "early").start()
    trace.recording = False
    with span(trace, "wait", "late"):
        early.stop()
    assert [one.name for one in trace.take()] == ["early"]


def test_what_has_no_room_is_counted() -> None:
    trace = ticking(most=2)
    for name in "abcd":
        with span(trace, "wait", name):
            pass
    assert trace.lost == 2 and [one.name for one in trace.take()] == ["a", "b"]


def test_what_is_under_way_is_shown_as_far_as_it_is_and_never_twice() -> None:
    trace = ticking()
    open_ended = span(trace, "write", "write", stream="writer", tensors=3).start()
    assert trace.take() == [Record("writer", "write", "write", 1, 2, {"tensors": 3, "unfinished": True})]
    open_ended.stop()
    assert trace.take() == []


def test_an_error_ends_its_spans_and_is_named() -> None:
    trace = ticking()
    with pytest.raises(ZeroDivisionError), span(trace, "forward", "0"):
        raise ZeroDivisionError
    assert [one.facts for one in trace.take()] == [{"error": "ZeroDivisionError"}]
