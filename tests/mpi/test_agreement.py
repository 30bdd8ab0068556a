"""Ranks that do not believe the same are told which, and of what."""

from __future__ import annotations

import pytest

from shoal.core.cores import affinity
from shoal.core.errors import DataError, PlatformError, ShoalError, UsageError
from shoal.mpi import agreement
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.threads import run

SAME = {"configuration": "a1", "versions": "b2", "data": "c3"}


def test_agreement_is_silent() -> None:
    agreement.agree(Alone(), SAME)
    run(3, lambda c: agreement.agree(c, SAME), backend="reference")


@pytest.mark.parametrize(
    "thing, kind", [("configuration", UsageError), ("versions", PlatformError), ("data", DataError)]
)
def test_a_difference_names_the_rank_and_the_thing_on_every_rank(thing: str, kind: type[ShoalError]) -> None:
    def program(c: Communicator) -> str:
        with pytest.raises(kind) as caught:
            agreement.agree(c, {**SAME, thing: "ff"} if c.rank == 2 else SAME)
        return caught.value.problem

    told = run(4, program, backend="reference")
    assert told == [f"rank 2 and rank 0 do not hold the same {thing}: ff is not {SAME[thing]}"] * 4


def test_a_fact_that_a_rank_does_not_have_is_a_difference() -> None:
    def program(c: Communicator) -> None:
        agreement.agree(c, SAME if c.rank == 0 else {})

    with pytest.raises(UsageError, match="ranks 1, 2 and rank 0 do not hold the same configuration: nothing is not a1"):
        run(3, program, backend="reference")


def test_threads_share_the_cores_of_their_node() -> None:
    whole = agreement.threads(Alone())
    assert 1 <= whole <= len(affinity())
    assert run(2, agreement.threads, backend="reference") == [max(1, whole // 2)] * 2
