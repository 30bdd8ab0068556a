"""One clock for all ranks: clocks that begin and run apart are brought together within the bound that is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from shoal.mpi.alone import Alone
from shoal.mpi.clocks import Clock
from shoal.mpi.communicator import Communicator
from shoal.mpi.threads import run

OFFSETS, DRIFTS = (0.0, -3.5, 86400.0), (0.0, 0.5, 0.25)  # of the ranks: seconds; a half is half as fast again


def skewed(rank: int) -> Callable[[float], float]:
    """What the clock of a rank shows at a true time."""
    return lambda t: t + OFFSETS[rank] + DRIFTS[rank] * t


def errors(drift: bool, change: Callable[[Clock], Clock] = lambda clock: clock) -> list[tuple[float, float]]:
    """(the worst error of the shared time between two measurements, the bound it was given), of ranks 1 and 2."""

    def program(c: Communicator) -> tuple[float, float]:
        zero = time.monotonic() if c.rank == 0 else 0.0
        zero = c.broadcast_obj(zero, 0, "zero")
        shown = skewed(c.rank) if drift else lambda t: t + OFFSETS[c.rank]
        clock = Clock()
        clock.measure(c, lambda: shown(time.monotonic() - zero))
        began = time.monotonic() - zero
        time.sleep(0.3)
        ended = time.monotonic() - zero
        clock.measure(c, lambda: shown(time.monotonic() - zero))
        found = change(clock)
        times = [began + (ended - began) * i / 10 for i in range(11)]
        return max(abs(found.shared(shown(t)) - t) for t in times), found.bound

    return run(3, program, backend="reference")[1:]


@pytest.mark.parametrize("drift", [False, True])
def test_offsets_and_drift_are_found_within_the_bound(drift: bool) -> None:
    for error, bound in errors(drift):
        assert error <= bound < 0.1


def test_one_measurement_knows_nothing_of_drift() -> None:
    for error, bound in errors(True, lambda clock: replace(clock, points=clock.points[:1])):
        assert error > bound


def test_without_alignment_the_skew_is_the_error() -> None:
    nothing = Clock([(0.0, 0.0, 0.01)])
    for rank, (error, bound) in enumerate(errors(False, lambda clock: nothing), 1):
        assert error == pytest.approx(abs(OFFSETS[rank])) and error > bound


def test_ranks_that_share_a_clock_are_not_set_apart_by_noise() -> None:
    def program(c: Communicator) -> float:
        clock = Clock()
        clock.measure(c, time.monotonic)
        return clock.shared(1000.0)

    assert run(3, program, backend="reference") == [1000.0] * 3 == [program(Alone())] * 3


def test_facts_say_offset_and_drift() -> None:
    clock = Clock([(100.0, 2.0, 1e-5), (200.0, 2.001, 2e-5)])
    assert clock.shared(150.0) == pytest.approx(152.0005)
    assert clock.facts() == {"offset_s": 2.001, "bound_s": 2e-5, "drift_ppm": pytest.approx(10.0)}
