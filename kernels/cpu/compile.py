"""Compilation: a Python function becomes a kernel when it is first called, once per machine.

Numba does not see an edit in another file that a cached kernel calls into, so the cache folder itself is named by
everything that could matter: all sources of this room, the versions of Numba and LLVM, the CPU. Any edit is a new
folder, and a stale kernel cannot be loaded.

    <SHOAL_CACHE_DIR, NUMBA_CACHE_DIR or ~/.cache>/shoal/<hash>/        one process compiles, the others wait and load

A kernel has two variants, because `prange` is decided at compile time: the serial one needs no threading layer and may
be called from several Python threads; the parallel one is compiled only when there are threads and enough work.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import FunctionType
from typing import Any

from . import threads

WORTH = 400_000  # float operations or bytes, whichever a kernel is bound by: below, waking a second thread costs more

# Called as listener(name, None, False) when a kernel is about to be made ready, and as
# listener(name, seconds, from_cache) when it is: so a program can say what the user waits for.
listeners: list[Callable[[str, float | None, bool], None]] = []

# Numba would also turn array expressions into parallel loops, and fuse loops that meet through addresses it cannot see.
ONLY_PRANGE = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}

_making = threading.Lock()


class Kernel:
    """A function in Numba's language, compiled at its first call for each combination of argument types.

        kernel(x, y, n, work=x.size)        parallel where work >= WORTH and threads() > 1

    Both variants must give the same bits: jobs are cut by shapes, never by the number of threads.
    """

    def __init__(self, function: Callable):
        self.function = function
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self.__doc__ = function.__doc__
        self.variants: dict[bool, Any] = {}

    def __call__(self, *args: Any, work: int) -> Any:
        parallel = work >= WORTH and threads.threads() > 1
        if parallel:
            threads.start()
        return (self.variants.get(parallel) or self.variant(parallel))(*args)

    def variant(self, parallel: bool) -> Any:
        """Numba's dispatcher of one variant, for tests that read its assembly."""
        with _making:
            if parallel not in self.variants:
                self.variants[parallel] = _dispatcher(self.function, self.name, parallel)
            return self.variants[parallel]


def kernel(function: Callable) -> Kernel:
    """Makes a Kernel of a module-level function whose jobs are a `prange` loop."""
    return Kernel(function)


def _dispatcher(function: Callable, name: str, parallel: bool) -> Any:
    import numba

    if parallel:  # Numba's cache does not tell the variants apart, but it tells names apart
        name += "_parallel"
        function = specialised(function, function.__name__ + "_parallel")
    dispatcher = numba.njit(nogil=True, parallel=ONLY_PRANGE if parallel else False)(function)
    if folder():
        outer, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder())
        try:
            dispatcher.enable_caching()
        finally:
            numba.config.CACHE_DIR = outer
    _observe(dispatcher, name)
    return dispatcher


def specialised(function: Any, name: str, **known: Any) -> FunctionType:
    """A copy called `name` that sees `known` as globals: how loops that differ in one expression are written once.

        kernel(specialised(loop, "_silu", element=silu))

    Not a closure: that would be compiled again by every process, because Numba's cache tells closures apart by what they
    hold, and the same compiled function is another object in every process. The name must be the file's only one.
    """
    copy = FunctionType(function.__code__, {**function.__globals__, **known}, name, function.__defaults__)
    copy.__qualname__ = name
    copy.__module__ = function.__module__
    return copy


def _observe(dispatcher: Any, name: str) -> None:
    """Puts the lock and the listeners around the dispatcher's slow path; calls of compiled code never come here."""
    make = dispatcher.compile

    def compile_or_load(signature: Any) -> Any:
        hits, start = sum(dispatcher.stats.cache_hits.values()), time.perf_counter()
        _tell(name, None, False)
        with _one_process(name):
            entry = make(signature)
        _tell(name, time.perf_counter() - start, sum(dispatcher.stats.cache_hits.values()) > hits)
        return entry

    dispatcher.compile = compile_or_load


def _tell(name: str, seconds: float | None, from_cache: bool) -> None:
    for listener in listeners:
        listener(name, seconds, from_cache)


@contextmanager
def _one_process(name: str) -> Iterator[None]:
    """Holds this kernel's lock file; where the file system has no locks, everybody compiles."""
    if not folder():
        yield
        return
    with Path(f"{folder()}/{name}.lock").open("a") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def folder() -> Path | None:
    """Where compiled kernels are kept; None, said once, where nothing can be written."""
    bases = (os.environ.get(name) for name in ("SHOAL_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    path = Path(next(filter(None, bases), "~/.cache")).expanduser().absolute() / "shoal" / fingerprint()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
        return path
    except OSError as error:
        warnings.warn(
            f"{path} cannot be written ({error}): kernels are compiled again in every process; set SHOAL_CACHE_DIR",
            stacklevel=2,
        )
        return None


def fingerprint() -> str:
    """A hash of all that decides what a kernel compiles to."""
    import llvmlite
    import numba

    digest = blake2b(digest_size=10)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(repr((numba.__version__, llvmlite.__version__, target())).encode())
    return digest.hexdigest()


@cache
def target() -> tuple[str, str]:
    """Name and features of the CPU that is compiled for: this one, or as NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say."""
    from llvmlite import binding
    from numba import config

    name = config.CPU_NAME or binding.get_host_cpu_name()
    features = config.CPU_FEATURES
    return name, binding.get_host_cpu_features().flatten() if features is None else features
