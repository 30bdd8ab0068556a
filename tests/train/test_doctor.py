"""`shoal doctor`: one line a question, a cure for what is bad, and exit code 3."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import mpirun

from shoal.mpi.alone import Alone
from shoal.train import doctor
from shoal.train.doctor import Check

Shoal = Callable[..., "subprocess.CompletedProcess[str]"]


def test_every_question_is_answered_in_a_line(shoal: Shoal) -> None:
    done = shoal("doctor")
    names = [line.split(":")[0].removeprefix("ok  ") for line in done.stdout.splitlines()]
    assert names == ["Python", "packages", "HDF5", "cores", "threads", "kernel cache", "MPI", "mpirun"]
    assert done.returncode == 0


def test_json_is_for_machines(shoal: Shoal) -> None:
    found = json.loads(shoal("doctor", "--json").stdout)
    assert found["ok"] is True
    assert set(found["checks"][0]) == {"name", "found", "cure", "ok"}


def test_a_cache_that_cannot_be_written_is_bad_and_has_a_cure(
    shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHOAL_CACHE_DIR", str(tmp_path / "file"))
    done = shoal("doctor")
    assert done.returncode == 3
    bad = [line for line in done.stdout.splitlines() if line.startswith("bad ")]
    assert len(bad) == 1 and bad[0].startswith("bad kernel cache:")
    assert "    cure: set SHOAL_CACHE_DIR to a folder you may write" in done.stdout.splitlines()


def test_a_check_that_breaks_is_a_bad_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(comm: object) -> Check:
        raise OSError("no such library")

    monkeypatch.setattr(doctor, "CHECKS", (broken,))
    (check,) = doctor.examine(Alone())
    assert not check.ok and check.found == "OSError: no such library"


def test_an_old_package_and_no_mpirun_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.mpirun(Alone()).found == "none on PATH"
    monkeypatch.setattr(doctor, "versions", lambda: {"numpy": "1", "numba": "", "h5py": "", "mpi4py": ""})
    assert doctor.mpirun(Alone()).ok  # without mpi4py nobody needs it


def test_under_mpirun_all_ranks_are_looked_at() -> None:
    done = mpirun(2, "from shoal.cli import main; main()", "doctor", "--json")
    found = json.loads(done.out[0][0])
    assert list(done.out) == [0]
    by_name = {check["name"]: check["found"] for check in found["checks"]}
    assert by_name["MPI"].startswith("Open MPI") and by_name["MPI"].endswith("2 ranks")
    assert by_name["hosts"].endswith("rank 0, 1")


def test_a_rank_that_differs_has_a_line_of_its_own() -> None:
    program = (
        "import os\n"
        "if os.environ['OMPI_COMM_WORLD_RANK'] == '1': os.environ['SHOAL_CACHE_DIR'] = '/dev/null'\n"
        "from shoal.cli import main; main()"
    )
    done = mpirun(2, program, "doctor")
    lines = [line for line in done.out[0] if "kernel cache" in line]
    assert len(lines) == 2
    assert lines[0].startswith("ok  kernel cache: rank 0: ") and lines[1].startswith("bad kernel cache: rank 1: ")
    assert done.code == 3
