"""What the MPI library says of itself; also a program, so that a process that does not need MPI need not load it.

As a program it prints one line of JSON before MPI is initialised and one after, because on some login nodes
initialising ends the process.
"""

import json
from pathlib import Path
from typing import Any

LEVELS = ("single", "funneled", "serialized", "multiple")


def facts(MPI: Any) -> dict[str, Any]:
    """{"version", "file"}, and once it is initialised also "level" (of threads) and "ulfm" (recovery from a dead rank)."""
    version = MPI.Get_library_version().split(",")[0].splitlines()[0].strip("\0")
    found: dict[str, Any] = {"version": " ".join(version.split()), "file": file()}
    if MPI.Is_initialized():
        ranked = (MPI.THREAD_SINGLE, MPI.THREAD_FUNNELED, MPI.THREAD_SERIALIZED, MPI.THREAD_MULTIPLE)
        found["level"], found["ulfm"] = LEVELS[ranked.index(MPI.Query_thread())], _ulfm(MPI)
    return found


def _ulfm(MPI: Any) -> bool:
    """Asked of a communicator of one rank, by the one call of ULFM that changes nothing."""
    try:
        return not MPI.COMM_SELF.Is_revoked()
    except (AttributeError, NotImplementedError, MPI.Exception):
        return False


def file() -> str:
    """The library that this process has mapped (Linux); "" if it cannot be told."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    paths = (line.split(maxsplit=5)[5] for line in lines if line.count("/"))
    return next((path for path in paths if Path(path).name.startswith(("libmpi.so", "libmpi_", "libmpich"))), "")


def main() -> None:
    import mpi4py

    mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
    from mpi4py import MPI

    print(json.dumps(facts(MPI)), flush=True)
    MPI.Init_thread(MPI.THREAD_FUNNELED)
    print(json.dumps(facts(MPI)), flush=True)


if __name__ == "__main__":
    main()
