"""Every communicator keeps the same promises: Alone, ranks as threads, ranks as MPI processes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import conformance
import numpy as np
import pytest
from launch import mpirun

from shoal.core.errors import RankDied, Stalled, UsageError
from shoal.mpi.allreduce import slices
from shoal.mpi.alone import Alone
from shoal.mpi.collectives import LABELS
from shoal.mpi.communicator import Communicator
from shoal.mpi.threads import run

HOWS = ("fixed", "mpi", "fixed in pieces", "mpi in pieces")
CHECKS = pytest.mark.parametrize("check", conformance.CHECKS)


@CHECKS
def test_alone(check: str) -> None:
    conformance.CHECKS[check](Alone())


@CHECKS
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_threads(ranks: int, check: str) -> None:
    run(ranks, conformance.CHECKS[check], deadline=30, backend="reference")


@cache
def under_mpirun(ranks: int) -> list[dict[str, dict[str, str]]]:
    """What every rank found, from one child that runs all checks."""
    finished = mpirun(ranks, Path(conformance.__file__), *HOWS, timeout=60)
    assert finished.code == 0, finished.text
    return [json.loads(finished.out[rank][-1]) for rank in range(ranks)]


@CHECKS
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_world(ranks: int, how: str, check: str) -> None:
    """how: the fixed order, MPI's own sum, and both with messages cut in pieces of 24 bytes; one child for all."""
    for rank, found in enumerate(under_mpirun(ranks)):
        assert found[how][check] == "", f"rank {rank}"


def test_a_broken_communicator_is_caught() -> None:
    """The checks see a sum in another order, and a message too many."""

    def backwards(c: Communicator) -> None:
        good = c.iallreduce

        def iallreduce(a: np.ndarray, name: str):
            a[...] = conformance.noise(c.size - 1 - c.rank, a.size, a.dtype.name)
            c.isend(np.zeros(0), (c.rank + 1) % c.size, 0, "too many")
            return good(a, name)

        c.iallreduce = iallreduce  # type: ignore[method-assign]
        for check in ("allreduce_adds_in_rank_order", "allreduce_sends_what_a_ring_sends"):
            with pytest.raises(AssertionError):
                conformance.CHECKS[check](c)

    run(3, backwards, deadline=30, backend="reference")


@pytest.mark.parametrize(
    "n, parts, sizes", [(10, 4, [2, 3, 2, 3]), (2, 4, [0, 1, 0, 1]), (0, 3, [0, 0, 0]), (6, 3, [2, 2, 2])]
)
def test_slices(n: int, parts: int, sizes: list[int]) -> None:
    bounds = slices(n, parts)
    assert [stop - start for start, stop in bounds] == sizes
    assert [b for bound in bounds for b in bound][1:-1:2] == [b for bound in bounds for b in bound][2::2]
    assert (bounds[0][0], bounds[-1][1]) == (0, n)


def test_the_first_error_of_a_rank_ends_all_threads() -> None:
    seen = {}

    def program(c: Communicator) -> None:
        if c.rank == 1:
            raise UsageError("rank 1 has had enough")
        try:
            c.barrier("never complete")
        except RankDied as error:
            seen[c.rank] = str(error)
            raise

    with pytest.raises(UsageError, match="had enough"):
        run(3, program, backend="reference")
    assert set(seen) == {0, 2}
    assert all("rank 1 ended with UsageError" in text for text in seen.values())


def test_threads_return_what_each_rank_returned() -> None:
    assert run(3, lambda c: c.rank * 10, backend="reference") == [0, 10, 20]


def test_abort_ends_all_threads_with_its_code() -> None:
    with pytest.raises(SystemExit) as end:
        run(2, lambda c: c.abort(5) if c.rank else c.barrier("waits"), backend="reference")
    assert end.value.code == 5


PAIRS = {  # names whose hashes agree in five bits, which is all that 2^15 tags have room for
    "checkpoint search": lambda c: c.allreduce(np.full(2, 32.0), "loss"),
    "cores": lambda c: c.barrier("warm-up"),
}


def in_different_collectives(labels: int, name: str) -> None:
    def program(c: Communicator) -> None:
        c.labels = labels  # type: ignore[attr-defined]
        c.deadline = 0.5
        if c.rank == 0:
            c.allgather_obj({}, name)
        else:
            PAIRS[name](c)

    run(2, program, backend="reference")


@pytest.mark.parametrize("name", PAIRS)
def test_ranks_in_different_collectives_do_not_take_each_others_messages(name: str) -> None:
    with pytest.raises(Stalled):
        in_different_collectives(LABELS, name)


@pytest.mark.parametrize(
    "name, error",
    [
        ("checkpoint search", r"lengths of \[2, 4629700416936869888\] bytes were announced"),
        ("cores", r"rank [01] sent (0 bytes, 8|8 bytes, 0) were expected"),
    ],
)
def test_where_tags_are_few_they_may_and_the_error_says_what_came(name: str, error: str) -> None:
    """Once the loss 32.0 was read as the length of an object, and memory asked for 4 EiB of it."""
    with pytest.raises(UsageError, match=error):
        in_different_collectives(32, name)


@pytest.mark.parametrize("how", ["allgather", "broadcast"])
def test_an_object_of_impossible_length_is_refused(how: str) -> None:
    def program(c: Communicator) -> None:
        value = "x" * (1 << 27) if c.rank else ""
        if how == "allgather":
            c.allgather_obj(value, "too large")
        else:
            c.broadcast_obj(value, 1, "too large")

    with pytest.raises(UsageError, match=f"{how} 'too large': .* 67108864 is the most"):
        run(2, program, backend="reference")
