"""When to save: Young's and Daly's numbers, a simulation that knows neither, and an estimate that follows what happens."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from shoal.checkpoint.interval import FIRST, LONGEST, PRIOR, Interval, daly, overhead, young

YEAR = 8760 * 3600.0


@pytest.mark.parametrize("cost, y, d", [(1, 14.142, 13.483), (5, 31.623, 28.377)])
def test_golden_numbers(cost, y, d):
    assert young(cost, 100) == pytest.approx(y, abs=5e-4)
    assert daly(cost, 100) == pytest.approx(d, abs=5e-4)


def test_closed_forms():
    assert young(2, 9) == 6
    assert daly(1, 2) == 2 * (1 + 1 / 6 + 1 / 36) - 1
    assert daly(200, 100) == daly(1e6, 100) == 100, "saves that take longer than a failure lets them"
    assert daly(200 * (1 - 1e-9), 100) == pytest.approx(200 * (1 + 1 / 3 + 1 / 9) - 200)
    assert daly(1e-6, 1e6) == pytest.approx(young(1e-6, 1e6), rel=1e-5), "cheap saves: the first order is all"
    assert overhead(10, 1, 100, 2) == 1 / 10 + 11 / 200 + 2 / 100


@pytest.mark.parametrize("cost, mtbf", [(1, 100), (0.2, 3600), (30, 86400)])
def test_the_first_order_overhead_is_least_at_youngs_interval_and_flat_there(cost, mtbf):
    def lost(tau):  # without what no interval changes
        return overhead(tau, cost, mtbf, 1) - cost / (2 * mtbf) - 1 / mtbf

    tau = young(cost, mtbf)
    assert lost(tau) < min(lost(tau * 1.01), lost(tau / 1.01))
    assert lost(2 * tau) == pytest.approx(1.25 * lost(tau))


def simulated(tau: float, cost: float, gaps: np.ndarray, restart: float) -> float:
    """Time over useful work of a job that fails at the end of each gap and loses what it has not saved by then."""
    saves = np.floor(np.maximum(gaps - restart, 0) / (tau + cost))
    return float(gaps.sum() / (tau * saves.sum()))


@pytest.mark.parametrize("cost", [1, 5])
def test_the_least_loss_of_a_simulation_lies_within_15_percent_of_daly(cost):
    gaps = np.random.default_rng(1).exponential(100, 400_000)
    taus = daly(cost, 100) * np.geomspace(0.5, 2, 41)
    losses = [simulated(tau, cost, gaps, 1) for tau in taus]
    best = taus[int(np.argmin(losses))]
    assert abs(best / daly(cost, 100) - 1) < 0.15
    assert abs(best / daly(4 * cost, 100) - 1) > 0.15, "another cost's interval is told apart"


def test_the_simulation_gives_the_cards_figures():
    """tau -> total / useful, of a cost of 1 and 5 at M = 100 with R = 1; those were of 400 trials."""
    gaps = np.random.default_rng(2).exponential(100, 400_000)
    for cost, tau, ratio in [(1, 3.54, 1.326), (1, 13.48, 1.168), (1, 56.6, 1.393), (5, 28.4, 1.410), (5, 63, 1.560)]:
        assert simulated(tau, cost, gaps, 1) == pytest.approx(ratio, rel=0.02)


def settled(cost: float, mtbf: float = 3600.0) -> Interval:
    """An interval that has seen many saves of one cost, and failures enough to know the time between them."""
    interval = Interval(mtbf, failures=100, uptime=100 * mtbf)
    for _ in range(50):
        interval.saved(cost)
    return interval


@pytest.mark.parametrize("before, after", [(1.0, 10.0), (10.0, 1.0)])
def test_a_tenfold_change_of_cost_is_followed_within_three_saves(before, after):
    interval, goal = settled(before), daly(after, 3600)
    assert interval.seconds == pytest.approx(daly(before, 3600))
    assert interval.seconds != pytest.approx(goal, rel=0.1)
    for _ in range(3):
        interval.saved(after)
    assert interval.seconds == pytest.approx(goal, rel=0.1)


def test_before_the_first_save_the_interval_is_short_and_after_it_the_cost_is_known():
    interval = Interval(86400)
    assert interval.seconds == FIRST < LONGEST
    interval.saved(3.0)
    assert interval.seconds == daly(3.0, 86400)


def test_the_interval_is_at_most_an_hour_and_at_least_twice_the_cost():
    rare = Interval(10 * YEAR)
    rare.saved(100)
    assert daly(100, rare.mtbf) > rare.seconds == LONGEST
    often = settled(50.0, mtbf=60.0)
    assert daly(50, 60) < 100 == pytest.approx(often.seconds)
    slow = settled(4000.0, mtbf=1e9)
    assert slow.seconds == 8000 > LONGEST, "half of the time for work, whatever a save costs"


def test_the_time_between_failures_is_the_posterior_mean():
    """Gamma(a, a M0) on the rate, Poisson failures: by numerical integration, which knows no closed form."""
    prior, seen = Interval(1000.0), Interval(1000.0, failures=3, uptime=700.0)
    assert prior.mtbf == pytest.approx(1000)
    rates = np.linspace(1e-9, 0.05, 2_000_001)
    density = rates ** (PRIOR - 1 + 3) * np.exp(-rates * (PRIOR * 1000 + 700))
    assert seen.mtbf == pytest.approx(density.sum() / (rates * density).sum(), rel=1e-4)


def test_the_default_gives_way_quickly_to_a_cluster_that_fails_every_day():
    assumed = Interval(YEAR, failures=0, uptime=3600.0)
    assert assumed.mtbf > YEAR
    ratios = []
    for failures in (1, 2, 5, 100):
        interval = Interval(YEAR, failures, uptime=failures * 86400.0)
        ratios.append(sqrt(interval.mtbf / 86400))  # an interval is too long by so much
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] < 2.2 and ratios[1] < 1.7 and ratios[2] < 1.4 and ratios[3] < 1.03


def test_uptime_counts_as_it_is_brought_up_to_date():
    interval = Interval(3600.0, failures=1)
    before = interval.mtbf
    interval.uptime += 7200
    assert interval.mtbf == pytest.approx(before + 7200 / (PRIOR + 1))
