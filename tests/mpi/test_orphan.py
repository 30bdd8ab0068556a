"""Ranks whose mpirun was killed: they end with it, and what they had saved is what a new job continues from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from launch import ROOT_MAY, launcher, session

RANK = """
import os, sys, time
from shoal.mpi import orphan
{before}
from shoal.mpi.start import connect
c = connect()
c.barrier("all here")
open(sys.argv[1] + f"/{{c.rank}}-{{os.getpid()}}", "w").close()
for i in range(30):
    time.sleep(1)
"""
OPTIONS = ["--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx"]


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher in a session of its own; whatever is left of the session is killed at the end."""
    process = subprocess.Popen(command, env={**os.environ, **ROOT_MAY}, start_new_session=True)
    try:
        yield process
    finally:
        for left in session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait()


def until(what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not {what} after {seconds} s"
        time.sleep(0.02)


def ranks(folder: Path, count: int) -> list[int]:
    """The processes of the ranks, once all are there."""
    until("all ranks are there", lambda: len(list(folder.iterdir())) == count)
    return [int(path.name.partition("-")[2]) for path in folder.iterdir()]


def living(processes: list[int]) -> list[int]:
    """Those that run; a zombie that nobody has waited for does not."""

    def state(process: int) -> str:
        try:
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"

    return [process for process in processes if state(process) not in "ZX"]


def orphans(tmp_path: Path, between: list[str], program: str) -> list[int]:
    """The ranks that are left a while after the mpirun of two was killed."""
    command = [launcher(), *OPTIONS, "-n", "2", *between, sys.executable, "-c", program, str(tmp_path)]
    with started(command) as mpirun:
        processes = ranks(tmp_path, 2)
        assert living(processes) == processes
        mpirun.kill()
        with suppress(AssertionError):
            until("gone", lambda: not living(processes), seconds=3)
        return living(processes)


SHELL = ["bash", "-c", '"$@"; true', "bash"]  # stays between mpirun and the rank


@pytest.mark.parametrize("between", [[], SHELL], ids=["a child of mpirun", "a grandchild"])
def test_ranks_end_with_their_mpirun(tmp_path: Path, between: list[str]) -> None:
    assert orphans(tmp_path, between, RANK.format(before="")) == []


def test_without_the_call_they_live_on(tmp_path: Path) -> None:
    """The test above can fail."""
    assert len(orphans(tmp_path, [], RANK.format(before="orphan.end_with_launcher = lambda variable: None"))) == 2
