"""The pulse: all ranks know the same after the same steps, however seldom they ask; and when time asks for a save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shoal.checkpoint.interval import FIRST, daly
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run
from shoal.train import pulse
from shoal.train.config import Checkpoint
from shoal.train.pulse import Pulse
from shoal.train.rhythm import Rhythm
from shoal.train.signals import NAMES, Wishes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """clock[0] is the time."""
    time = [0.0]
    monkeypatch.setattr(pulse, "now", lambda: time[0])
    return time


def test_ranks_whose_clocks_differ_know_the_same_after_the_same_step(clock: list[float]) -> None:
    """Rank 0's clock counts: by its own, rank 1 would be a million seconds ahead."""

    def words(communicator: Any) -> list[Any]:
        beats, told = Pulse(communicator, Wishes(), -1e6 * communicator.rank), []
        for _ in range(40):
            communicator.barrier("step")
            if communicator.rank == 0:
                clock[0] += 0.1
            told.append(beats.beat())
        return told

    first, second = run(2, words)
    assert first == second
    assert [word.seconds for word in first if word] == pytest.approx([i / 10 for i in range(1, 41, 2)], abs=0.11)


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_to_one_rank_is_known_to_all(clock: list[float], name: str) -> None:
    def asked(communicator: Any) -> tuple[str, int]:
        wishes = Wishes()
        wishes.counts[name] += 2 * (communicator.rank == 2)
        word = Pulse(communicator, wishes, 0.0).beat(steps=0)
        assert word
        return word.asked, word.signals[name]

    assert run(4, asked) == 4 * [(name, 1)]
    assert not Pulse(Alone(), Wishes(), 0.0).beat(steps=0).asked  # type: ignore[union-attr]


def test_writers_are_counted_and_a_save_is_due_when_rank_0_says_so(clock: list[float]) -> None:
    def told(communicator: Any) -> tuple[bool, int]:
        rank = communicator.rank
        word = Pulse(communicator, Wishes(), 0.0, due=lambda: rank == 1, writing=lambda: rank != 0).beat(steps=0)
        assert word
        return word.due, word.writing

    assert run(3, told) == 3 * [(False, 2)]


def asked_at(pace: Callable[[int], float], steps: int, clock: list[float]) -> list[float]:
    """The times at which it asked, at pace(step) seconds a step."""
    comm = Alone()
    comm.size = 2  # whose other rank has nothing to say
    beats, asked = Pulse(comm, Wishes(), 0.0), []
    for step in range(steps):
        clock[0] += pace(step)
        if beats.beat():
            asked.append(clock[0])
    return asked


def test_fast_steps_ask_once_in_a_beat_and_slow_ones_each_time(clock: list[float]) -> None:
    gaps = np.diff(asked_at(lambda step: 0.001, 10_000, clock))
    assert gaps[1:] == pytest.approx(pulse.BEAT, abs=0.002)
    assert len(asked_at(lambda step: 2.0, 10, clock)) == 10


def test_a_rank_alone_asks_after_every_step(clock: list[float]) -> None:
    beats = Pulse(Alone(), Wishes(), 0.0)
    assert all(beats.beat() for _ in range(9))


def test_a_pace_that_drops_delays_one_answer_and_no_more(clock: list[float]) -> None:
    gaps = np.diff(asked_at(lambda step: 0.001 if step < 1000 else 0.1, 2000, clock))
    assert sum(gaps > 2 * pulse.BEAT) == 1


def test_it_counts_no_messages(clock: list[float]) -> None:
    """How often it beats depends on the pace, so two equal runs would have sent different numbers."""

    def sent(communicator: Any) -> tuple[int, int]:
        beats = Pulse(communicator, Wishes(), 0.0)
        for _ in range(5):
            beats.beat(steps=0)
        return communicator.counters.messages, communicator.counters.bytes

    assert run(2, sent) == [(0, 0), (0, 0)]


def rhythm(clock: list[float], machines: int = 1, **settings: Any) -> Rhythm:
    found = Rhythm(Checkpoint(**settings), machines, clock[0])
    found.saved()
    return found


def test_a_save_is_due_after_so_many_seconds_and_counts_from_the_last(clock: list[float]) -> None:
    periodic, never = rhythm(clock, every_seconds=30.0), rhythm(clock)
    clock[0] += 29
    assert not periodic.due()
    clock[0] += 2
    assert periodic.due() and not never.due()
    periodic.saved()
    clock[0] += 29
    assert not periodic.due()


def test_auto_follows_the_measured_cost_and_the_failures_of_this_run(clock: list[float]) -> None:
    auto = rhythm(clock, machines=4, auto=True, mtbf_hours=8.0)
    clock[0] += FIRST + 1
    assert auto.due()  # the cost of the first is not known
    auto.saved()
    auto.paid(2.0)
    assert auto.interval
    clock[0] += 100
    assert auto.interval.assumed == 7200
    auto.load_state({"seconds": 7200.0 - clock[0], "failures": 0}, died=True)
    auto.due()
    assert auto.failures == 1 and auto.interval.seconds == pytest.approx(
        daly(2.0, (0.01 * 7200 + 7200) / 1.01), rel=1e-6
    )


def test_the_life_of_a_run_goes_on(clock: list[float]) -> None:
    first = rhythm(clock)
    clock[0] += 100
    second = Rhythm(Checkpoint(), 1, clock[0])
    second.load_state(first.state(), died=True)
    clock[0] += 11
    assert second.state() == {"seconds": 111.0, "failures": 1}
    second.load_state(first.state(), died=False)
    assert second.failures == 0
