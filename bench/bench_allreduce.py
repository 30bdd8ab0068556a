"""What does a sum in rank order cost, against MPI's own and gloo's?

GB/s: bytes of the array by the time until the slowest rank has its sum.
"""

import numpy as np
import pytest
from peers import group, torch

from shoal.mpi.start import connect

RANKS = 2
SIZES = {"1 KiB": 1 << 10, "16 KiB": 1 << 14, "256 KiB": 1 << 18, "4 MiB": 1 << 22, "64 MiB": 1 << 26}
GROWTH = 120  # the sum of p equal arrays is p times one: after so many doublings float32 is at its end


@pytest.fixture(scope="module")
def by_mpi():
    return connect(reduction="mpi", deadline=600)


@pytest.mark.parametrize("size", SIZES)
def bench_allreduce(measure, comm, by_mpi, quick, size):
    start = np.random.default_rng(comm.rank).standard_normal(1024 if quick else SIZES[size] // 4, np.float32)
    a = start.copy()
    peers = {"MPI's own": lambda: by_mpi.allreduce(a, "bench")}
    if torch:
        tensor, distributed = torch.from_numpy(a), group(comm)
        peers["gloo"] = lambda: distributed.all_reduce(tensor)
    measure(
        lambda: comm.allreduce(a, "bench"),
        peers=peers,
        work=a.nbytes,
        unit="GB/s",
        before=lambda: np.copyto(a, start),
        most=max(1, int(GROWTH / np.log2(comm.size))),
        bytes=a.nbytes,
    )
