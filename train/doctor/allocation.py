"""What Slurm gave the job, against what this start makes of it."""

from __future__ import annotations

import os

from ...mpi import slurm as variables
from .check import Case, Check, note


def slurm(case: Case) -> list[Check]:
    told = os.environ
    if "SLURM_JOB_ID" not in told:
        return [Check("Slurm", "not in a job")]
    nodes, tasks = told.get("SLURM_JOB_NUM_NODES", "1"), told.get("SLURM_NTASKS", "1")
    each = int(told.get("SLURM_CPUS_PER_TASK", "1"))
    found = f"job {told['SLURM_JOB_ID']}, {tasks} tasks of {each} CPUs on {nodes} nodes; {case.comm.size} ranks here"
    if each > case.threads:
        return [Check("Slurm", f"{found}, with {case.threads} CPUs each", variables.more_cpus(each))]
    if idle := variables.remarks(told, case.comm.size):
        return [note("Slurm", idle[0])]
    return [Check("Slurm", found)]
