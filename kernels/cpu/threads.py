"""How many threads a kernel may use, and which library runs them.

Numba's built-in workqueue layer aborts the process when two Python threads enter parallel kernels, so it is never used
with more than one thread: OpenMP where libgomp is found, else TBB, whose wheel puts libtbb.so.12 where the loader does
not look inside a virtual environment; it is loaded here by its full path. With one thread no layer is ever started.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path

from ...core.cores import affinity, quota
from ...core.errors import PlatformError, UsageError

_chosen: int | None = None
_masked = threading.local()  # Numba's thread count is a property of the calling thread


def threads() -> int:
    """Threads a kernel may use: what `set_threads` said, else the cores this process may use."""
    global _chosen
    if _chosen is None:
        _chosen = min(cap(), max(1, int(min(len(affinity()), quota()))))
        if _chosen > 1 and layer() is None:
            warnings.warn("neither libgomp nor the tbb wheel was found: kernels run on one thread", stacklevel=2)
            _chosen = 1
    return _chosen


def set_threads(n: int) -> None:
    """Lets kernels use n threads from now on. Results do not depend on it."""
    global _chosen
    if not 1 <= n <= cap():
        raise UsageError(f"{n} threads; between 1 and {cap()} are possible", "set NUMBA_NUM_THREADS before the start")
    if n > 1 and layer() is None:
        raise PlatformError(f"{n} threads need OpenMP or TBB", "install libgomp1 or the tbb wheel, or use 1 thread")
    _chosen = n


def cap() -> int:
    """The most threads Numba will start: NUMBA_NUM_THREADS, else the cores in the affinity mask."""
    told = os.environ.get("NUMBA_NUM_THREADS", "0")
    if not told.isdigit():
        raise UsageError(f'NUMBA_NUM_THREADS is "{told}", not a number of threads', "unset it, or set it to a number")
    return int(told) or len(affinity())


@cache
def layer() -> str | None:
    """ "omp", "tbb" or None: the first threading library that can be loaded.

    GNU OpenMP reads its settings when it is loaded. By default its threads spin for milliseconds between two kernels, and
    on cores that somebody else uses too (other ranks, other jobs) each kernel then waits for a thread that is not running.
    So they spin briefly and then sleep.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    if _loads("libgomp.so.1"):
        return "omp"
    return "tbb" if _loads("libtbb.so.12") or _loads(_wheel_path("tbb", "libtbb.so.12")) else None


def _loads(path: str) -> bool:
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        return True
    except OSError:
        return False


def _wheel_path(package: str, file: str) -> str:
    """Where a wheel put a file; the bare name if there is no such wheel."""
    try:
        found = [f for f in metadata.files(package) or [] if f.name == file]
    except metadata.PackageNotFoundError:
        return file
    return str(Path(str(found[0].locate())).resolve()) if found else file


def start() -> None:
    """Gives the calling thread its share; called before every parallel kernel, and cheap after the first time."""
    if getattr(_masked, "n", None) != threads():
        import numba

        numba.config.THREADING_LAYER = layer()
        numba.set_num_threads(threads())
        _masked.n = threads()
