"""Cases for the doctor: starts on machines that this one is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shoal.mpi.alone import Alone
from shoal.train.doctor.check import Case, Rank

CORES = frozenset(range(8))
OPEN_MPI, MPICH, SRUN = "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"


def case(masks: list[frozenset[int]] | None = None, launcher: str = "", **more: Any) -> Case:
    """Of a start on a machine of 8 cores, seen by rank 0 of it."""
    masks = masks or [CORES]
    comm: Any = SimpleNamespace(rank=0, size=len(masks)) if len(masks) > 1 else Alone()
    ranks = [Rank("here", mask, CORES) for mask in masks]
    known = {"folder": Path(), "refused": None, "threads": 1, "mpi": {}, **more}
    return Case(comm=comm, launcher=launcher, ranks=ranks, **known)
