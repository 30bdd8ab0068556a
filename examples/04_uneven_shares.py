"""Unequal machines: DataParallel gives each rank a share of its own, and the result is still that of one machine.

What example 3 did by hand is a strategy: feed() takes the number of every sample of a batch, the same on all ranks, and each
reads its share. Here one machine is thought to be three times as fast as the next, and the last does not work at all.
"""

import numpy as np

from shoal.core.partition import Partition
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.nn.models import digits_cnn
from shoal.optim import SGD
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

STEPS = 20
data = open_dataset(Data("digits"), "float64")
batches = Sampler(len(data.train), batch=64, seed=0).batches(epoch=0)[:STEPS]


def train(comm: Communicator, *shares: float) -> tuple[np.ndarray, int, float]:
    """The weights, this rank's samples of a batch, and the bytes that it sent in a step."""
    settings = {"shape": data.shape, "fetch": data.train.read, "seed": 0, "dtype": "float64"}
    strategy = DataParallel(digits_cnn(), SGD(0.05, momentum=0.9), comm, Partition(shares), **settings)
    for batch in batches:
        strategy.feed(batch)
    return strategy.replica.weights.flat, len(strategy.share(batches[0])), comm.counters.bytes / STEPS


serial, _, _ = train(Alone(), 1)
for shares in [(1, 1, 1), (3, 1, 0)]:
    ranks = threads.run(3, lambda comm, shares=shares: train(comm, *shares))
    print(f"shares {shares}")
    for rank, (w, samples, sent) in enumerate(ranks):
        far = abs(w - serial).max() / abs(serial).max()
        print(f"    rank {rank}: {samples} samples, {sent / 1e3:.0f} kB a step; difference from serial {far:.0e}")
