"""Schedules, and the power and cosine they are made of."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import UsageError
from shoal.optim import SGD, Constant, Cosine, OneCycle, Polynomial, Step, Warmup
from shoal.optim.exact import cosine, power

AFTER = [
    (Constant(0.3), 0.3),
    (Step(0.3, milestones=(2, 5)), 0.003),
    (Cosine(0.3, steps=10, floor=0.1), 0.1),
    (Polynomial(0.3, steps=10, floor=0.1), 0.1),
    (OneCycle(0.3, steps=10), 0.3 / 25 / 1e4),
]


@pytest.mark.parametrize("schedule, end", AFTER)
def test_after_its_last_step_a_schedule_stays(schedule, end) -> None:
    for step in (10, 11, 1000):
        assert schedule(step) == pytest.approx(end, rel=1e-12)
    assert Warmup(schedule, 7)(17) == schedule(10)


def test_a_warm_up_rises_in_equal_steps_to_where_the_schedule_starts() -> None:
    rates = [Warmup(Cosine(0.5, steps=10), 4)(step) for step in range(5)]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-15)


def test_an_optimizer_asks_its_schedule_for_every_step() -> None:
    rule = SGD(Step(0.4, step_size=2, gamma=0.5))
    assert [rule.rate(step) for step in range(6)] == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    assert SGD(0.4).rate(5) == 0.4


@given(st.floats(1e-6, 1), st.floats(0, 50), st.floats(0, 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_powers_and_cosines_are_right_to_the_last_bits(x, p, share) -> None:
    assert power(x, p) == pytest.approx(x**p, rel=1e-13, abs=1e-300)
    assert cosine(share) == pytest.approx(math.cos(math.pi * share), abs=3e-16)


def test_powers_at_the_ends() -> None:
    assert (power(0.0, 0), power(0.0, 3), power(0.9, 0), power(0.9, 10**9)) == (1.0, 0.0, 1.0, 0.0)
    assert (cosine(0.0), cosine(1.0)) == (1.0, -1.0)


def test_a_power_is_rounded_once() -> None:
    """Exact in 40 digits: 0.999 is not, and repeated products of it drift."""
    t, product = 3000, 1.0
    for _ in range(t):
        product *= 0.999
    numerator, denominator = (0.999).as_integer_ratio()
    assert power(0.999, t) == numerator**t / denominator**t != product


WRONG = [
    (lambda: Step(0.1), r"Step: step_size 0 and milestones \(\): a rate falls by one of them"),
    (lambda: Step(0.1, step_size=2, milestones=(3,)), "a rate falls by one of them"),
    (lambda: Step(0.1, step_size=2, gamma=-1), "Step: gamma -1 must be >= 0"),
    (lambda: Cosine(0.1, steps=0), "Cosine: steps 0 must be >= 1"),
    (lambda: Polynomial(0.1, steps=5, power=0), "Polynomial: power 0 must be > 0"),
    (lambda: OneCycle(0.1, steps=3), "OneCycle: steps 3 with pct_start 0.3 put the peak at step -0.1"),
    (lambda: OneCycle(0.1, steps=30, pct_start=1.0), r"pct_start 1.0 must be in \(0, 1\)"),
    (lambda: OneCycle(0.1, steps=30, div_factor=0), "must be > 0"),
    (lambda: Warmup(Constant(0.1), -1), "Warmup: steps -1 must be >= 0"),
]


@pytest.mark.parametrize("make, problem", WRONG)
def test_impossible_schedules_are_refused(make, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        make()
