"""`shoal doctor`: is this machine ready, alone and under mpirun? One line a question, ok or bad, and a cure for bad.

Each check is a function of the communicator that returns what it found and, where that will not do, a cure. Every rank
makes them all and rank 0 tells: one line where the ranks found the same, one line for each answer where they did not.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..core.cores import affinity, quota
from ..core.spec import Spec, State
from ..mpi import agreement
from ..mpi.alone import Alone
from ..mpi.communicator import Communicator
from .run import versions
from .terminal import console


@dataclass(frozen=True)
class Check:
    """name: the question.   found: the answer.   cure: what to do; empty where all is well."""

    name: str
    found: str
    cure: str = ""

    @property
    def ok(self) -> bool:
        return not self.cure


def python(comm: Communicator) -> Check:
    fits = sys.version_info >= (3, 11)
    return Check("Python", f"{platform.python_version()}, {sys.executable}", "" if fits else "use Python 3.11 or newer")


def packages(comm: Communicator) -> Check:
    """The packages that every use needs; mpi4py is asked for under MPI."""
    found = versions()
    missing = [name for name in ("numpy", "numba", "h5py") if not found[name]]
    names = ("shoal", "numpy", "numba", "llvmlite", "tbb")
    shown = ", ".join(f"{name} {found[name] or 'missing'}" for name in names)
    return Check("packages", shown, f"pip install {' '.join(missing)}" if missing else "")


def hdf5(comm: Communicator) -> Check:
    """Writes a small checkpoint and reads it back."""
    from ..checkpoint.store import Store

    sent = np.arange(3.0)
    with tempfile.TemporaryDirectory() as folder, Store(folder, Alone()) as store:
        store.save(State({"x": (Spec("x", (3,)), sent)}, {"step": 0}))
        generation = store.newest()
        same = generation is not None and np.array_equal(generation.read("x", Spec("x", (3,))), sent)
    cure = "" if same else "pip install --force-reinstall h5py"
    return Check("HDF5", f"h5py {versions()['h5py']}, a checkpoint {'was' if same else 'was NOT'} read back", cure)


def cores(comm: Communicator) -> Check:
    limit = quota()
    share = f"CPU quota {limit:g}" if limit < float("inf") else "no CPU quota"
    return Check("cores", f"{len(affinity())} of {os.cpu_count()} usable, {share}")


def threads(comm: Communicator) -> Check:
    """Threads a rank will use, and the library that runs them."""
    from ..kernels.cpu.threads import cap, layer

    mine = min(agreement.threads(comm), cap())
    if mine == 1:
        return Check("threads", "1 per rank")
    if layer():
        return Check("threads", f"{mine} per rank, threading layer {layer()}")
    return Check("threads", f"{mine} possible, but no threading layer", "apt install libgomp1, or pip install tbb")


def cache(comm: Communicator) -> Check:
    from ..kernels.cpu.compile import folder

    found = folder()
    cure = "" if found else "set SHOAL_CACHE_DIR to a folder you may write"
    return Check("kernel cache", str(found or "no folder can be written, every start compiles again"), cure)


def mpi(comm: Communicator) -> Check:
    """The MPI library, once a launcher is in play; alone, whether there is one to be launched with."""
    if comm.size > 1:
        return Check("MPI", f"{vendor()}, mpi4py {versions()['mpi4py']}, {comm.size} ranks")
    found = versions()["mpi4py"]
    return Check("MPI", f"mpi4py {found}, 1 rank" if found else "no mpi4py: one process only, which needs none")


def vendor() -> str:
    from ..mpi.world import library

    return library.vendor()


def mpirun(comm: Communicator) -> Check:
    """Which mpirun the shell would start."""
    path = shutil.which("mpirun")
    if path is None:
        needed = bool(versions()["mpi4py"]) and comm.size == 1
        return Check("mpirun", "none on PATH", "put the bin folder of your MPI on PATH" if needed else "")
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True)
        found = f"{path}: {done.stdout.strip().splitlines()[0]}"
        if comm.size > 1 and ("Open MPI" in found) != ("Open MPI" in vendor()):
            return Check("mpirun", f"{found}, but mpi4py has {vendor()}", "put the mpirun of that MPI first on PATH")
        return Check("mpirun", found)
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        return Check("mpirun", f"{path} does not answer: {error}", "install that MPI again, or mend PATH")


CHECKS: tuple[Callable[[Communicator], Check], ...] = (python, packages, hdf5, cores, threads, cache, mpi, mpirun)


def examine(comm: Communicator) -> list[Check]:
    """All checks of all ranks, the same list on every rank; a collective call."""
    mine = [_guarded(check, comm) for check in CHECKS]
    everyone = comm.allgather_obj([[c.name, c.found, c.cure] for c in mine], "doctor")
    places = comm.allgather_obj(socket.gethostname(), "doctor hosts")
    checks = []
    for answers in zip(*everyone, strict=True):
        kinds = sorted({tuple(answer) for answer in answers}, key=lambda kind: answers.index(list(kind)))
        for name, found, cure in kinds:
            ranks = [r for r, answer in enumerate(answers) if answer == [name, found, cure]]
            checks.append(Check(name, found if len(kinds) == 1 else f"rank {_list(ranks)}: {found}", cure))
    hosts = {host: [r for r, place in enumerate(places) if place == host] for host in places}
    if comm.size > 1:
        checks.append(Check("hosts", "; ".join(f"{host}: rank {_list(ranks)}" for host, ranks in hosts.items())))
    return checks


def _list(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks))


def _guarded(check: Callable[[Communicator], Check], comm: Communicator) -> Check:
    """A doctor does not die of what the patient has."""
    try:
        return check(comm)
    except Exception as error:
        return Check(check.__name__, f"{type(error).__name__}: {error}", "install what is named there again")


def show(checks: list[Check]) -> None:
    """One line each on stdout."""
    from rich.text import Text

    screen = console()
    for check in checks:
        line = Text.assemble(("ok  " if check.ok else "bad ", "green" if check.ok else "bold red"), f"{check.name}: ")
        screen.print(line.append(check.found), soft_wrap=True)
        if check.cure:
            screen.print(Text(f"    cure: {check.cure}"), soft_wrap=True)


def show_json(checks: list[Check]) -> None:
    """One line of JSON on stdout: {"ok": ..., "checks": [{"name", "found", "cure", "ok"}, ...]}."""
    table = [{**asdict(check), "ok": check.ok} for check in checks]
    print(json.dumps({"ok": all(check.ok for check in checks), "checks": table}), flush=True)
