"""`shoal warm`: the phase before step 0 by itself, so that a job does not spend its first minutes compiling.

What a rank compiles does not depend on how the model is cut or on who else there is, so one process on a node can do it for
all runs of a configuration there, without MPI. What it depends on is gone through: one thread and all of this process (a
loop has a variant for either), the whole batch and its halves down to one sample (a share of more ranks is smaller, and a
small product may be another loop), and the sums over ranks, which one rank alone has no use for.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import PlatformError
from ..kernels import ops
from ..mpi.alone import Alone
from .build import build, use_threads
from .config import Config
from .progress import Silent
from .start import compiling

LONG = 1 << 20  # numbers of a sum that is worth two threads


@dataclass(frozen=True)
class Warmed:
    """kernels: that are ready, `compiled` of them just now, in so many seconds of all.   cache: where they are kept."""

    node: str
    kernels: int
    compiled: int
    seconds: float
    compiling: float
    cache: str

    def __str__(self) -> str:
        made = f"{self.compiled} compiled in {self.compiling:.1f} s, {self.kernels - self.compiled} from the cache"
        return f"{self.node}: {self.kernels} kernels ready after {self.seconds:.1f} s, {made}; they are in {self.cache}"


def warm(config: Config, screen: Silent) -> Warmed:
    """Makes every kernel ready that a run of this configuration needs on this machine, whatever its ranks and threads.

    PlatformError where they cannot be kept.
    """
    began, place = time.perf_counter(), cache(config)
    times: list[tuple[float, bool]] = []

    def made(name: str, seconds: float | None, from_cache: bool) -> None:
        if seconds is not None:
            times.append((seconds, from_cache))

    parallel = replace(config.parallel, mesh={}, shares=(), memory_mb=0.0)
    with compiling(config, screen, made):
        for threads in sorted({1, use_threads(replace(config, parallel=parallel), Alone())}):
            job = build(replace(config, parallel=replace(parallel, threads=threads)), Alone())
            job.warm_up(shares=True)
            for dtype in {config.train.dtype, "float64"}:  # of gradients, of statistics and losses
                ops.ordered_sum(np.zeros((2, LONG), dtype), backend=config.train.backend)
    compiled = [seconds for seconds, from_cache in times if not from_cache]
    seconds = time.perf_counter() - began
    return Warmed(socket.gethostname(), len(times), len(compiled), seconds, sum(compiled), place)


def cache(config: Config) -> str:
    """The folder of compiled kernels; "" for a backend that has none."""
    if config.train.backend != "cpu":
        return ""
    from ..kernels.cpu.compile import folder

    if not folder():
        raise PlatformError("compiled kernels cannot be kept: no folder for them can be written", "set SHOAL_CACHE_DIR")
    return str(folder())
