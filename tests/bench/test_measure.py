"""How a case is timed: in rounds in which all take turns, and by the slowest rank."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from measure import ROUNDS, Measure, Slowest

from shoal.mpi.alone import Alone


class Benchmark:
    """What pytest-benchmark's fixture does when rounds are fixed, with a clock that counts its readings."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[]))

    def pedantic(self, run: Callable[[], None], setup: Callable[[], None], rounds: int) -> None:
        for _ in range(rounds):
            setup()
            run()
            self.stats.stats.data.append(0.5)


def test_in_each_round_all_take_turns() -> None:
    said: list[str] = []
    measure = Measure(Benchmark(), Alone(), quick=True)
    peers = {"a": lambda: said.append("a"), "b": lambda: said.append("b")}
    measure(lambda: said.append("ours"), peers=peers, before=lambda: said.append("fresh"), limit=lambda: 1.0)
    assert said[-12:] == ["fresh", "a", "fresh", "b", "fresh", "ours"] * 2


def test_rates_and_fractions_come_from_the_work() -> None:
    benchmark = Benchmark()
    case = Measure(benchmark, Alone(), quick=True)(lambda: None, limit=lambda: 8.0, work=10**9, bytes=3)
    assert case.rates == {"GFLOP/s": 2.0}  # a call takes 0.5 s
    assert case.ratios == {"of the limit": (0.25, 0.25, 0.25)} and case.facts == {"bytes": 3, "limit": 8.0}
    assert benchmark.extra_info["ratios"] == case.ratios


def test_the_number_of_rounds_is_fixed() -> None:
    benchmark = Benchmark()
    Measure(benchmark, Alone(), quick=False)(lambda: None, most=1)
    assert len(benchmark.stats.stats.data) == ROUNDS


def test_the_slowest_rank_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([100.0, 101.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(readings))
    comm = SimpleNamespace(allgather_obj=lambda mine, name: [mine, 2.5])
    clock = Slowest(comm)
    began = clock()
    assert clock() - began == 2.5
