"""The bubble a schedule should have: the closed forms where stages are alike, and what unequal stages make of it."""

from __future__ import annotations

import pytest

from shoal.plan import PipelineShape
from shoal.plan.bubble import bubble


@pytest.mark.parametrize("p, m", [(2, 1), (2, 4), (4, 8)])
def test_stages_that_are_alike_have_the_closed_form(p: int, m: int) -> None:
    shape = PipelineShape(p, m)
    assert bubble("gpipe", shape) == bubble("1f1b", shape) == pytest.approx((p - 1) / (m + p - 1))
    assert bubble("naive", shape) == pytest.approx((p - 1) / p)


def test_a_slow_stage_is_a_bubble_of_the_others() -> None:
    """Stage 1 takes three times as long: it is at work all the time but for the first forward and the last backward of stage 0."""
    slow = {"forward": [1.0, 3.0], "backward": [1.0, 3.0]}
    m = 100
    assert bubble("gpipe", PipelineShape(2, m), slow) == pytest.approx(1 - (8 * m) / (2 * (6 * m + 2)))
    assert bubble("gpipe", PipelineShape(2, m)) < 0.01
