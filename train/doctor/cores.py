"""The cores a rank may use, against those that are there: too few by binding, or too many ranks on them.

Open MPI binds each rank of a small job to one core, so ranks with threads run on one; other launchers bind nothing. What
a launcher had to give is in its own mask: it runs on the same machine, unbound. Threads are counted as training counts
them, so more threads than cores come only from more ranks than cores, or from ranks bound on top of each other.
"""

from __future__ import annotations

import os

from ...core.cores import affinity, quota, threads_per_rank
from .check import Case, Check

# how a launcher gives each of its ranks {cores} cores, and how it starts at most {ranks} on a machine
BIND = {
    "OMPI_COMM_WORLD_SIZE": "mpirun --map-by slot:pe={cores}, or mpirun --bind-to none",
    "PMI_SIZE": "mpiexec -bind-to none",
    "SLURM_STEP_NUM_TASKS": "srun --cpus-per-task={cores}",
}
FEWER = {
    "OMPI_COMM_WORLD_SIZE": "mpirun --map-by ppr:{ranks}:node, without --oversubscribe",
    "PMI_SIZE": "mpiexec -ppn {ranks}",
    "SLURM_STEP_NUM_TASKS": "srun --ntasks-per-node={ranks}, without --overcommit",
}


def mask(pid: int) -> frozenset[int]:
    """The cores that a process may use; this one's where it cannot be asked."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except (AttributeError, OSError):
        return affinity()


def cores(case: Case) -> list[Check]:
    me, there = case.ranks[case.comm.rank], _there(case)
    limit = f"CPU quota {quota():g}" if quota() < float("inf") else "no CPU quota"
    found = f"{len(me.cores)} of {os.cpu_count()} usable, {limit}"
    share = max(1, there // len(case.here()))
    if len(me.cores) < min(share, len(me.given)) and not case.refused:  # else nobody knows how many share the machine
        idle = f"{_cores(len(me.cores))} of the {there} that are there for {_ranks(len(case.here()))}"
        return [Check("cores", f"bound to {idle}, {limit}", _flag(BIND, case, cores=share))]
    return [Check("cores", found)]


def threads(case: Case) -> list[Check]:
    """Threads a rank will use, and the library that runs them."""
    from ...kernels.cpu.threads import cap, layer

    mine = min(case.threads, cap())
    if problem := _oversubscribed(case):
        return [problem]
    if mine == 1:
        return [Check("threads", "1 per rank")]
    if layer():
        return [Check("threads", f"{mine} per rank, threading layer {layer()}")]
    return [Check("threads", f"{mine} possible, but no threading layer", "apt install libgomp1, or pip install tbb")]


def _oversubscribed(case: Case) -> Check | None:
    """More threads of the ranks that share this rank's cores than there are such cores."""
    here, me = case.here(), case.ranks[case.comm.rank]
    masks = [rank.cores for rank in here]
    wanted = [threads_per_rank(masks, i, quota()) for i, one in enumerate(masks) if one & me.cores]
    room = min(len(frozenset().union(*(one for one in masks if one & me.cores))), max(1, int(min(quota(), 1 << 20))))
    if sum(wanted) <= room:
        return None
    found = f"{_ranks(len(wanted))} with {sum(wanted)} threads on {_cores(room)}: each waits for the others"
    if _there(case) >= len(here):
        return Check("threads", found, _flag(BIND, case, cores=max(1, _there(case) // len(here))))
    return Check("threads", found, f"at most {_ranks(_there(case))} here: {_flag(FEWER, case, ranks=_there(case))}")


def _there(case: Case) -> int:
    """Cores of this machine that the launcher could give to its ranks."""
    given = frozenset().union(*(rank.given for rank in case.here()))
    return max(1, int(min(len(given), quota())))


def _flag(flags: dict[str, str], case: Case, **numbers: int) -> str:
    return flags.get(case.launcher, "start fewer processes, or give them more cores").format(**numbers)


def _cores(n: int) -> str:
    return f"{n} core{'s' * (n > 1)}"


def _ranks(n: int) -> str:
    return f"{n} rank{'s' * (n > 1)}"
