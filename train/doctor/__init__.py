"""`shoal doctor`: is this machine ready, alone and under mpirun or srun? One line a question, and a cure for what is bad.

Each question is a function of the case that answers in Checks. Every rank answers them all and rank 0 tells: one line
where the ranks found the same, one line for each answer where they did not. So what is measured, and differs every time,
is measured by rank 0 or agreed upon first. A start that MPI refuses is a case too: the process is looked at as if alone.
"""

from __future__ import annotations

import os
import socket
from itertools import groupby
from pathlib import Path

from ...core.cores import affinity
from ...core.errors import PlatformError, ShoalError
from ...mpi import agreement, orphan, slurm
from ...mpi.communicator import Communicator
from ...mpi.start import starter
from . import allocation, cores, disk, gpu, mpi, network, software
from .check import Case, Check, Question, Rank, show, show_json

__all__ = ["Check", "examine", "show", "show_json"]

QUESTIONS: tuple[Question, ...] = (
    software.python,
    software.packages,
    software.numba,
    software.hdf5,
    cores.cores,
    cores.threads,
    disk.cache,
    mpi.library,
    mpi.mpirun,
    mpi.others,
    allocation.slurm,
    gpu.gpus,
    gpu.aware,
    disk.folder,
    disk.speed,
    network.clocks,
    network.messages,
)


def examine(comm: Communicator, folder: Path, refused: PlatformError | None = None) -> list[Check]:
    """All checks of all ranks, the same list on every rank; a collective call.

    folder: where runs will be kept.   refused: the error that `comm` stands in for.
    """
    case = _case(comm, folder, refused)
    mine = [[[c.name, c.found, c.cure, c.state] for c in _guarded(ask, case)] for ask in QUESTIONS]
    everyone = comm.allgather_obj(mine, "doctor")
    checks = [check for answers in zip(*everyone, strict=True) for check in _merged(list(answers))]
    if comm.size > 1:
        hosts = {rank.host: [r for r, other in enumerate(case.ranks) if other.host == rank.host] for rank in case.ranks}
        checks.append(Check("hosts", "; ".join(f"{host}: rank {spans(ranks)}" for host, ranks in hosts.items())))
    return checks


def _case(comm: Communicator, folder: Path, refused: PlatformError | None) -> Case:
    by = starter(os.environ) or ""
    given = cores.mask(orphan.launcher(by)) if by else affinity()
    mine = [socket.gethostname(), sorted(affinity()), sorted(given | affinity())]
    everyone = comm.allgather_obj(mine, "doctor ranks")
    ranks = [Rank(host, frozenset(own), frozenset(launchers)) for host, own, launchers in everyone]
    threads, asked = agreement.threads(comm), mpi.facts(comm)
    launcher = "SLURM_STEP_NUM_TASKS" if slurm.by_srun(os.environ) else by
    return Case(comm, folder, launcher, refused, ranks, threads, asked)


def _guarded(question: Question, case: Case) -> list[Check]:
    """A doctor does not die of what the patient has."""
    try:
        return question(case)
    except ShoalError as error:
        return [Check(question.__name__, error.problem, error.cure or "see what is said there")]
    except Exception as error:
        return [Check(question.__name__, f"{type(error).__name__}: {error}", "install what is named there again")]


def _merged(answers: list[list[list[str]]]) -> list[Check]:
    """The answers of all ranks to one question, each once, with its ranks where not all gave it."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for rank, answer in enumerate(answers):
        for kind in map(tuple, answer):
            kinds.setdefault(kind, []).append(rank)
    return [
        Check(name, found if len(ranks) == len(answers) else f"rank {spans(ranks)}: {found}", cure, state)
        for (name, found, cure, state), ranks in kinds.items()
    ]


def spans(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2, 5"."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
