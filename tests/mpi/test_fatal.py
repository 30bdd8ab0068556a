"""One rank's error ends all ranks: its traceback first, its exit code, within seconds, whichever door it leaves by."""

from __future__ import annotations

import pytest
from launch import Finished, mpirun

from shoal.core.errors import Stalled, UsageError
from shoal.mpi.fatal import describe

START = """
import sys, threading, time
import numpy as np
from shoal.core.errors import DataError, UsageError
from shoal.mpi.start import connect
c = connect(backend="reference")
c.barrier("all here")
"""
WAIT = "c.allreduce(np.zeros(8), 'gradients 0')\n"


def ends(program: str, ranks: int = 3) -> Finished:
    """A job in which the others wait, without a deadline; it must end all the same."""
    return mpirun(ranks, START + program + WAIT, timeout=30)


def test_an_exception_ends_the_world_with_its_traceback_first() -> None:
    finished = ends("def broken():\n    return [][c.rank]\nif c.rank == 1: broken()\n")
    assert finished.code == 1
    assert finished.err[0] == (1, "rank 1: Traceback (most recent call last):")
    assert "rank 1: IndexError: list index out of range" in finished.said(1)
    assert "in broken" in finished.said(1)


@pytest.mark.parametrize("code, error", [(2, "UsageError"), (4, "DataError")])
def test_the_exit_code_is_the_errors(code: int, error: str) -> None:
    finished = ends(f"if c.rank == 2: raise {error}('17 is wrong', 'make it 18')\n")
    assert finished.code == code
    assert finished.said(2).startswith(f"rank 2: {error}: 17 is wrong (raised in <module>, ")
    assert "rank 2:   cure: make it 18" in finished.said(2)


def test_an_error_that_all_ranks_find_is_said_once() -> None:
    finished = ends("raise UsageError('the same on all ranks')\n")
    assert finished.code == 2
    assert finished.text.count("the same on all ranks") == 1


def test_an_error_in_another_thread_ends_the_world() -> None:
    finished = ends(
        "def read(): raise DataError('the file is short')\nif c.rank == 1: threading.Thread(target=read).start()\n"
    )
    assert finished.code == 4
    assert "rank 1: DataError: the file is short" in finished.said(1)


def test_a_closed_stdout_does_not_keep_the_others_waiting() -> None:
    finished = ends(
        "if c.rank == 1:\n    sys.stdout = open('/dev/full', 'w')\n    print(1)\n    raise DataError('torn')\n"
    )
    assert finished.code == 4
    assert "rank 1: DataError: torn" in finished.said(1)


def test_a_closed_stderr_does_not_keep_the_others_waiting() -> None:
    finished = ends("if c.rank == 1:\n    sys.stderr = None\n    raise DataError('torn')\n")
    assert finished.code == 4


def test_the_end_of_the_program_has_a_longer_deadline() -> None:
    """Rank 0 may still be writing when the others are done."""
    finished = mpirun(2, START + "c.deadline = 0.3\nif c.rank == 0: time.sleep(1)\n", timeout=30)
    assert finished.code == 0, finished.text


def test_a_rank_that_hangs_in_the_end_ends_the_others() -> None:
    hang = "import atexit\nfrom shoal.mpi import fatal\nfatal.LAST = 1\nif c.rank: atexit.register(time.sleep, 60)\n"
    finished = mpirun(2, START + hang, timeout=30)
    assert finished.code == 7, finished.text
    assert "in barrier 'end of the program' at step 0, waiting for rank 1" in finished.said(0)


def raised(error: BaseException) -> str:
    try:
        raise error
    except BaseException as caught:
        return describe(caught)


def test_an_error_that_explains_itself_is_said_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOAL_DEBUG", raising=False)
    said = raised(UsageError("17 is wrong", "make it 18"))
    assert said.startswith("UsageError: 17 is wrong (raised in raised, ")
    assert said.endswith("\n  cure: make it 18")
    assert raised(Stalled("its report was printed", "look there")) == "  cure: look there"
    assert raised(KeyboardInterrupt()).startswith("KeyboardInterrupt: interrupted (raised in")
    assert raised(ValueError("a bug")).startswith("Traceback (most recent call last):")
    monkeypatch.setenv("SHOAL_DEBUG", "1")
    assert raised(UsageError("17 is wrong")).startswith("Traceback (most recent call last):")


def test_a_job_without_errors_ends_with_0() -> None:
    finished = ends("print('sum', c.allreduce(np.ones(1), 'sum')[0])\n")
    assert finished.code == 0, finished.text
    assert finished.out == {rank: ["sum 3.0"] for rank in range(3)}
