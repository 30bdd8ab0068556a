"""What is counted in a trace: sets of time, own times, and what of the communication costs nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from shoal.train.intervals import common, length, union
from shoal.train.spans import Spans


def test_sets_of_time_are_those_of_their_points() -> None:
    rng = np.random.default_rng(3)
    points = np.arange(60) + 0.5
    for _ in range(200):
        sets = [[tuple(sorted(map(float, rng.integers(0, 60, 2)))) for _ in range(rng.integers(0, 6))] for _ in "ab"]
        inside = [np.array([any(start < t < stop for start, stop in one) for t in points]) for one in sets]
        a, b = (union(one) for one in sets)
        assert all(x[1] < y[0] for x, y in pairwise(a))
        assert (length(a), length(common(a, b))) == (inside[0].sum(), (inside[0] & inside[1]).sum())


def event(kind: str, start: float, stop: float, thread: int = 1, **args: float) -> dict[str, object]:
    """Times in seconds."""
    times = {"ts": start * 1e6, "dur": (stop - start) * 1e6}
    return {"ph": "X", "cat": kind, "name": kind, "pid": 0, "tid": thread, **times, "args": args}


def test_a_spans_own_time_is_without_what_lies_inside_it() -> None:
    spans = Spans(0, [event("step", 0, 10), event("action", 1, 7), event("forward", 2, 4), event("forward", 4, 5)])
    own = {kind: [one.own for one in found] for kind, found in spans.kinds.items()}
    assert own == {"step": [pytest.approx(4)], "action": [pytest.approx(3)], "forward": [2.0, 1.0]}


def test_overlap_is_the_communication_that_nobody_waited_for() -> None:
    busy = [event("step", 0, 10), event("wait", 6, 8)]
    assert Spans(0, busy).overlap() is None
    assert Spans(0, [*busy, event("communication", 4, 8, 2)]).overlap() == pytest.approx(0.5)
    assert Spans(0, [*busy, event("communication", 0, 8, 2)]).overlap() == pytest.approx(0.75)
    assert Spans(0, [*busy, event("communication", 6, 8, 2)]).overlap() == 0
    outside = event("communication", 10, 20, 2)  # as in an evaluation
    assert Spans(0, [*busy, outside]).overlap() is None
