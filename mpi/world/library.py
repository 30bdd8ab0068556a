"""The MPI library: loaded when this module is first imported, initialised by `begin`.

Between the two it can be asked who made it, which costs nothing, while MPI_Init under another library's launcher may end
the process with that library's last words. Thread level "funneled": only a rank's main thread speaks MPI. A higher level
costs locks in every call, and the watchdog and prefetch threads have nothing to say.
"""

import os

import mpi4py

from .. import slurm

slurm.prepare(os.environ)
mpi4py.rc.initialize, mpi4py.rc.finalize = False, True

from mpi4py import MPI  # noqa: E402

__all__ = ["MPI", "begin", "vendor"]


def begin() -> None:
    """Initialises MPI, unless somebody has."""
    if not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_FUNNELED)


def vendor() -> str:
    """The library mpi4py has loaded, in its own words: "Open MPI v5.0.8", "MPICH Version: 4.3.0", ..."""
    return " ".join(MPI.Get_library_version().split(",")[0].splitlines()[0].strip("\0").split())
