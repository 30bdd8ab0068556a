"""What is started wrongly ends at once, and the error says the flag to use."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster
from launch import launcher

MPIRUN = "mpirun --bind-to none --mca osc ^ucx"
NO_MPI4PY = "import sys; sys.modules['mpi4py'] = None; from shoal.cli import main; main()"


@pytest.mark.parametrize("mpi", [pytest.param("none", marks=pytest.mark.long), "pmi2"])
def test_open_mpi_under_srun_is_sent_to_mpirun(
    cluster: Cluster, training: Callable[..., str], tmp_path: Path, mpi: str
) -> None:
    launcher()
    done = cluster.command("srun", f"--mpi={mpi}", "--ntasks=2", *shlex.split(training("run")))
    assert done.code == 3, done.text
    assert "srun started 2 ranks" in done.text and "each sees itself as rank 0 of 1" in done.text
    assert "cure:  start with mpirun instead of srun" in done.text and "srun --mpi=pmix" in done.text
    assert not (tmp_path / "run").exists()


def test_mpich_under_srun_without_mpi_is_told_the_flag(
    cluster: Cluster, training: Callable[..., str], tmp_path: Path, mpich: str
) -> None:
    done = cluster.command("srun", "--ntasks=2", *shlex.split(training("run", python=mpich)))
    assert done.code == 3, done.text
    assert "srun started 2 ranks" in done.text and "cure:  start with srun --mpi=pmi2" in done.text
    assert not (tmp_path / "run").exists()


def test_srun_without_any_mpi_is_told_what_to_install(cluster: Cluster, training: Callable[..., str]) -> None:
    words = shlex.split(training("run"))[3:]
    done = cluster.command("srun", "--ntasks=2", sys.executable, "-c", NO_MPI4PY, *words)
    assert done.code == 3, done.text
    assert "started by srun, but MPI cannot be loaded" in done.text
    assert 'cure:  pip install "shoal[mpich]" and start with srun --mpi=pmi2' in done.text


ALONE = pytest.param("", 1, marks=pytest.mark.long, id="no launcher")
TWO = pytest.param(f"{MPIRUN} -n 2", 2, marks=pytest.mark.long, id="two of three")


@pytest.mark.parametrize("start, ranks", [ALONE, pytest.param(f"{MPIRUN} -n 1", 1, id="one of three"), TWO])
def test_tasks_that_nobody_uses_are_said(
    cluster: Cluster, training: Callable[..., str], start: str, ranks: int
) -> None:
    """One rank of mpirun was an error: the variables of the step of its daemons were taken for srun's ranks."""
    words = training("run").replace("--progress none", "--progress lines")
    job = cluster.sbatch(f"{start} {words}", "--nodes=3", "--ntasks=3")
    assert job.ended() == "COMPLETED", job.said
    assert f"in a Slurm allocation of 3 tasks, {3 - ranks} idle" in job.said and f"--ntasks={ranks}" in job.said


def test_more_ranks_than_tasks_are_refused_by_mpirun(
    cluster: Cluster, training: Callable[..., str], tmp_path: Path
) -> None:
    """Open MPI's own words; no rank is ever started."""
    job = cluster.sbatch(f"{MPIRUN} -n 4 {training('run')}", "--nodes=2", "--ntasks=2")
    assert (job.ended(), job.code) == ("FAILED", 1)
    assert "not enough slots available" in job.said
    assert not (tmp_path / "run").exists()


def test_too_few_tasks_for_a_mesh_name_the_flag(cluster: Cluster, training: Callable[..., str], tmp_path: Path) -> None:
    job = cluster.sbatch(f"{MPIRUN} {training('run', 'parallel.mesh={pipeline=4}')}", "--nodes=2", "--ntasks=2")
    assert (job.ended(), job.code) == ("FAILED", 2)
    assert "4 places for 2 ranks" in job.said and "start 4 ranks (mpirun -n, Slurm's --ntasks)" in job.said
    assert not (tmp_path / "run").exists()


THREADS = ["train.backend=cpu", "parallel.threads=2"]


def test_too_few_cpus_for_the_threads_name_the_flag(
    cluster: Cluster, training: Callable[..., str], tmp_path: Path
) -> None:
    """Whether or not Slurm binds its tasks: this cluster does not, so there are cores that were not granted."""
    done = cluster.command("srun", "--ntasks=1", *shlex.split(training("run", *THREADS)))
    assert done.code == 2, done.text
    assert "parallel.threads = 2, but of what Slurm gave this job a rank has 1 CPU" in done.text
    assert "--cpus-per-task=2" in done.text
    assert not (tmp_path / "run").exists()


def test_the_doctor_says_it_once_under_srun(cluster: Cluster) -> None:
    """Of the processes that srun started and that do not find each other, the first speaks."""
    launcher()
    done = cluster.command("srun", "--ntasks=2", sys.executable, "-m", "shoal", "doctor")
    assert done.code == 3, done.text
    assert done.text.count("bad  MPI: srun started 2 ranks") == 1
    assert "cure: start with mpirun instead of srun" in done.text


def test_the_doctor_holds_the_allocation_against_the_start(cluster: Cluster, mpich: str) -> None:
    done = cluster.command("srun", "--mpi=pmi2", "--ntasks=2", mpich, "-m", "shoal", "doctor")
    assert re.search(r"ok   MPI: MPICH Version: \S+, mpi4py \S+, 2 ranks", done.text), done.text
    assert re.search(r"ok   Slurm: job \d+, 2 tasks of 1 CPUs on 1 nodes; 2 ranks here", done.text)
