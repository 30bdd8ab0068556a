"""What is understood of Slurm's variables, as they were seen under each kind of start (tests/slurm/ has the real ones)."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.mpi import slurm

JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "4"}
STEP = {**JOB, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}
DAEMON = {**JOB, "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}  # one on each node
MPIRUN = {**DAEMON, "OMPI_COMM_WORLD_SIZE": "4", "OMPI_UNIVERSE_SIZE": "4"}


@pytest.mark.parametrize(
    "environment, true",
    [
        ({}, False),
        (JOB, False),
        (STEP, True),
        ({**STEP, "PMI_SIZE": "4", "PMI_JOBID": "7.0"}, True),  # --mpi=pmi2
        (MPIRUN, False),
        ({**DAEMON, "PMI_SIZE": "4", "PMI_JOBID": "kvs_31_0"}, False),  # MPICH's mpiexec
    ],
)
def test_whether_srun_started_a_rank(environment: dict[str, str], true: bool) -> None:
    assert slurm.by_srun(environment) is true


def test_mpich_s_wheel_under_pmi2_is_kept_from_addresses_too_long_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pmi2 = {**STEP, "PMI_SIZE": "4", "PMI_JOBID": "7.0", "PMI_FD": "11"}

    def netmod(environment: dict[str, str]) -> str | None:
        slurm.prepare(environment := dict(environment))
        return environment.get("MPIR_CVAR_CH4_NETMOD")

    monkeypatch.setattr(slurm.sys, "prefix", str(tmp_path))
    assert netmod(pmi2) is None  # a site's own MPICH
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libmpi.so.12").touch()
    assert netmod(pmi2) == "ofi"
    assert netmod({**pmi2, "MPIR_CVAR_CH4_NETMOD": "ucx"}) == "ucx"
    assert netmod(STEP) is None and netmod(MPIRUN) is None and netmod({}) is None


@pytest.mark.parametrize(
    "environment, ranks, said",
    [
        ({}, 1, ""),
        (STEP, 4, ""),
        (MPIRUN, 4, ""),
        (MPIRUN, 8, ""),  # oversubscribed, and meant so
        (
            JOB,
            1,
            "1 rank in a Slurm allocation of 4 tasks, 3 idle: start with mpirun or srun --mpi=pmi2, or ask for --ntasks=1",
        ),
        (MPIRUN, 3, "3 ranks in a Slurm allocation of 4 tasks, 1 idle: leave out mpirun's -n, or ask for --ntasks=3"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"}, 1, "1 rank in a Slurm allocation of 2 tasks, 1 idle"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}, 1, ""),
    ],
)
def test_idle_tasks_are_one_line_with_the_flag(environment: dict[str, str], ranks: int, said: str) -> None:
    lines = slurm.remarks(environment, ranks)
    assert len(lines) == bool(said) and all(line.startswith(said) for line in lines)
