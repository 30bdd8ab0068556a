"""The MPI library, initialised when this module is first imported.

Thread level "funneled": only a rank's main thread speaks MPI. A higher level costs locks in every call, and the
watchdog and prefetch threads have nothing to say.
"""

import os

import mpi4py

from .. import slurm

slurm.prepare(os.environ)
mpi4py.rc.thread_level = "funneled"

from mpi4py import MPI  # noqa: E402

if not MPI.Is_initialized():  # somebody imported mpi4py before and asked it not to
    MPI.Init_thread(MPI.THREAD_FUNNELED)

__all__ = ["MPI", "vendor"]


def vendor() -> str:
    """The library mpi4py has loaded, in its own words: "Open MPI v5.0.8", "MPICH Version: 4.3.0", ..."""
    return MPI.Get_library_version().split(",")[0].splitlines()[0].strip()
