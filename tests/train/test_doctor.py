"""`shoal doctor`: one line a question, a cure for what is bad, exit code 3; and starts that are wrong, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import OPTIONS, ROOT_MAY, launcher, mpich, mpirun, run

from shoal.mpi.alone import Alone
from shoal.train import doctor
from shoal.train.doctor import Check

Shoal = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = "from shoal.cli import main; main()"
NAMES = ["Python", "packages", "Numba", "HDF5", "cores", "threads", "kernel cache", "MPI", "mpirun", "MPIs", "Slurm"]
NAMES += ["GPUs", "GPU-aware MPI", "run folder", "disk"]


def test_every_question_is_answered_in_a_line(shoal: Shoal, tmp_path: Path) -> None:
    done = shoal("doctor")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("     cure: ")]
    assert [line[5:].split(":")[0] for line in lines] == NAMES
    assert {line[:5] for line in lines} <= {"ok   ", "note "} and done.returncode == 0, done.stdout
    assert f"run folder: {tmp_path}, " in done.stdout and list(tmp_path.iterdir()) == []  # it leaves no trace


def test_a_check_that_breaks_is_a_bad_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: object) -> list[Check]:
        raise OSError("no such library")

    monkeypatch.setattr(doctor, "QUESTIONS", (broken,))
    (check,) = doctor.examine(Alone(), Path())
    assert not check.ok and check.found == "OSError: no such library"


def test_ranks_are_named_by_spans() -> None:
    assert doctor.spans([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8" and doctor.spans([3]) == "3"


# ----------------------------------------------------------------------------------------------------- under a launcher


def test_under_mpirun_all_ranks_are_looked_at(tmp_path: Path) -> None:
    done = mpirun(2, COMMAND, "doctor", str(tmp_path / "runs"), "--json")
    found = json.loads(done.out[0][0])
    assert list(done.out) == [0] and found["ok"] is (done.code == 0)
    assert all(set(check) == {"name", "found", "cure", "state", "ok"} for check in found["checks"])
    by_name = {check["name"]: check["found"] for check in found["checks"]}
    assert by_name["MPI"].startswith("Open MPI v") and ", 2 ranks, threads funneled, ULFM " in by_name["MPI"]
    assert by_name["run folder"].startswith(f"{tmp_path}, ") and by_name["run folder"].endswith("shared by all 2 ranks")
    assert by_name["clocks"].endswith("ms apart at most (rank 1 and rank 0)")
    assert "GB/s (rank 1): the slowest of 1 from rank 0" in by_name["messages"]
    assert by_name["hosts"].endswith("rank 0-1") and list(tmp_path.iterdir()) == []


def test_a_rank_that_differs_has_a_line_of_its_own() -> None:
    program = f"""import os
if os.environ['OMPI_COMM_WORLD_RANK'] == '1': os.environ['SHOAL_CACHE_DIR'] = '/dev/null'
{COMMAND}"""
    done = mpirun(2, program, "doctor")
    assert "     cure: set SHOAL_CACHE_DIR to a folder you may write" in done.out[0]
    lines = [line for line in done.out[0] if "kernel cache" in line]
    assert len(lines) == 2
    assert lines[0].startswith("ok   kernel cache: rank 0: ") and lines[1].startswith("bad  kernel cache: rank 1: ")
    assert done.code == 3


def test_singletons_are_told_of_by_one_of_them(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a launcher that mpi4py's MPI does not know: every process is alone, and the others are silent."""
    launcher()
    monkeypatch.setenv("PMI_SIZE", "4")
    done = shoal("doctor")
    assert done.returncode == 3
    assert (
        "bad  MPI: an MPICH-like mpiexec started 4 ranks (PMI_SIZE=4), but each sees itself as rank 0 of 1"
        in done.stdout
    )
    assert 'cure: install the MPI that belongs to the launcher, pip install "shoal[mpich]"' in done.stdout
    monkeypatch.setenv("PMI_RANK", "3")
    done = shoal("doctor")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_mpirun_of_another_mpi_is_found_by_looking_and_by_starting() -> None:
    """MPICH's mpi4py, Open MPI's mpirun: first on PATH, and it has started two ranks that would abort in MPI_Init."""
    environment = {**ROOT_MAY, "PATH": f"{Path(launcher()).parent}:{os.environ['PATH']}"}
    done = run([launcher(), *OPTIONS, "-n", "2", mpich(), "-c", COMMAND, "doctor"], 60, environment)
    assert done.code == 3
    assert done.text.count("bad  MPI: Open MPI's mpirun started 2 ranks") == 1
    assert "is of Open MPI 5" in done.text and "but mpi4py loads MPICH Version: " in done.text
    assert f"cure: start with {Path(mpich()).parent / 'mpirun'}" in done.text


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="on one core nothing can be bound to fewer")
def test_a_rank_bound_to_one_core_is_told_the_flag() -> None:
    """What Open MPI does with few ranks unless told otherwise; taken for a bug of Numba (GH numba/numba#9776)."""
    words = [
        launcher(),
        "--bind-to",
        "core",
        "--mca",
        "osc",
        "^ucx",
        "-n",
        "1",
        sys.executable,
        "-c",
        COMMAND,
        "doctor",
    ]
    done = run(words, 60, ROOT_MAY)
    cores = len(os.sched_getaffinity(0))
    assert done.code == 3
    assert f"bad  cores: bound to 1 core of the {cores} that are there for 1 rank" in done.text
    assert f"cure: mpirun --map-by slot:pe={cores}, or mpirun --bind-to none" in done.text


def test_more_ranks_than_cores_are_told_how_many_there_may_be() -> None:
    """Two ranks where there is one core, which training would start with one thread each, in turns."""
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ranks = [launcher(), *OPTIONS, "-n", "2", sys.executable, "-c", COMMAND, "doctor"]
    done = run([sys.executable, "-c", program, *ranks], 60, ROOT_MAY)
    assert done.code == 3
    assert "bad  threads: 2 ranks with 2 threads on 1 core: each waits for the others" in done.text
    assert "cure: at most 1 rank here: mpirun --map-by ppr:1:node, without --oversubscribe" in done.text
