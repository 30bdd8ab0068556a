"""A communication that passes its deadline ends the job with code 7, after every rank has said what it was doing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from launch import mpirun

from shoal.core.errors import Stalled
from shoal.mpi.communicator import Communicator
from shoal.mpi.threads import run

START = """
import time
import numpy as np
from shoal.mpi.start import connect
c = connect(backend="reference")
c.barrier("all here")
c.deadline = 1.5
c.step = 12
def gradients(): c.allreduce(np.zeros(8), "gradients 3")
"""


def test_a_rank_that_hangs_in_compute_is_named_and_shown() -> None:
    program = "def think(): time.sleep(60)\ngradients()\nif c.rank == 1: think()\ngradients()"
    finished = mpirun(3, START + program, timeout=30)
    assert finished.code == 7
    for rank in (0, 2):
        assert f"rank {rank} stalled after" in finished.said(rank)
        assert "s in allreduce 'gradients 3' at step 12, waiting for rank 1" in finished.said(rank)
    busy = finished.said(1)
    assert "rank 1 busy outside communication since" in busy
    assert "last: allreduce 'gradients 3' at step 12" in busy
    assert "in think" in busy


def test_ranks_in_different_collectives_each_report_their_own() -> None:
    """Rank 2 has skipped a collective: all wait, nobody is given another collective's numbers."""
    finished = mpirun(3, START + "if c.rank == 2: c.barrier('epoch 1')\ngradients()", timeout=30)
    assert finished.code == 7
    for rank, peers in ((0, "rank 2"), (1, "rank 2")):
        assert f"allreduce 'gradients 3' at step 12, waiting for {peers}" in finished.said(rank)
    assert "rank 2 stalled after" in finished.said(2)
    assert "in barrier 'epoch 1' at step 12, waiting for rank 1" in finished.said(2)


def test_they_do_so_too_if_five_bits_of_their_names_agree() -> None:
    other = "if c.rank == 1: c.allgather_obj({}, 'checkpoint search')\nc.allreduce(np.full(2, 32.0), 'loss')"
    finished = mpirun(2, START + other, timeout=30)
    assert finished.code == 7, finished.text
    assert "in allreduce 'loss' at step 12, waiting for rank 1" in finished.said(0)
    assert "in allgather 'checkpoint search' at step 12, waiting for rank 0" in finished.said(1)


def test_a_rank_that_never_calls_reports_from_the_end_of_its_program() -> None:
    finished = mpirun(3, START + "if c.rank != 1: gradients()", timeout=30)
    assert finished.code == 7
    assert "rank 0 stalled" in finished.said(0)
    assert "rank 2 stalled" in finished.said(2)
    assert "in barrier 'end of the program' at step 12, waiting for" in finished.said(1)


def test_ranks_that_began_to_wait_later_still_report() -> None:
    """Rank 2 comes one second late and would stall after the world has ended: the alarm makes it speak at once."""
    late = "if c.rank == 1: time.sleep(60)\nif c.rank == 2: time.sleep(1)\n"
    finished = mpirun(3, START + late + "c.deadline = 1.5 if c.rank == 0 else 20\ngradients()", timeout=30)
    assert finished.code == 7
    assert "rank 2 stalled after" in finished.said(2)
    assert "waiting for rank 1" in finished.said(2)


def test_threads_stall_likewise(capfd: pytest.CaptureFixture[str]) -> None:
    def program(c: Communicator) -> None:
        c.step = 4
        c.barrier("all here")
        if c.rank == 1:
            time.sleep(1.2)
        else:
            c.allreduce(np.zeros(4), "gradients 0")

    with pytest.raises(Stalled, match="in allreduce 'gradients 0' at step 4, waiting for rank 1") as caught:
        run(3, program, deadline=0.4, backend="reference")
    assert caught.value.code == 7
    said = capfd.readouterr().err
    for report in ("rank 0 stalled", "rank 2 stalled", "rank 1 busy outside communication", "in program"):
        assert report in said


def test_reports_from_a_part_of_the_ranks_name_ranks_of_the_whole(capfd: pytest.CaptureFixture[str]) -> None:
    def program(c: Communicator) -> None:
        part = c.split(c.rank % 2, 0)
        if c.rank == 3:
            time.sleep(1)
        part.barrier("odd and even")

    with pytest.raises(Stalled, match=r"rank 1 stalled after .* in barrier 'odd and even'.*waiting for rank 3"):
        run(4, program, deadline=0.4, backend="reference")
    assert "rank 3 busy outside communication" in capfd.readouterr().err


@pytest.mark.parametrize("asleep", [0.8, 3])
def test_a_patient_wait_is_no_stall_but_is_reported_once(capfd: pytest.CaptureFixture[str], asleep: float) -> None:
    def program(c: Communicator) -> None:
        c.patience = 1.6
        c.barrier("all here")
        if c.rank == 1:
            time.sleep(asleep)
        c.barrier("a slow disk")

    if asleep < 1:
        run(2, program, deadline=0.2, backend="reference")
    else:
        with pytest.raises(Stalled, match="in barrier 'a slow disk'"):
            run(2, program, deadline=0.2, backend="reference")
    said = capfd.readouterr().err
    assert said.count("rank 0 waiting since") == 1
    assert "s in barrier 'a slow disk' at step 0 for rank 1; it goes on until 1.6 s" in said
    assert "rank 1 busy outside communication" in said
    assert ("stalled" in said) == (asleep > 1)


def test_no_deadline_no_report(capfd: pytest.CaptureFixture[str]) -> None:
    def program(c: Communicator) -> None:
        if c.rank == 1:
            time.sleep(0.5)
        c.allreduce(np.zeros(4), "slow")

    run(2, program, backend="reference")
    assert "rank" not in capfd.readouterr().err
