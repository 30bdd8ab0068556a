"""A checkpoint holds logical tensors: a mesh of four ranks saves, two others go on, and plain h5py reads what was written.

What comes out is compared with a run on one rank that was never cut. The numbers are written by whoever holds them, each
once; the manifest says which file has which, and commits all of them at once.
"""

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np

from shoal.checkpoint.store import Store
from shoal.core.partition import Partition
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.pipeline import Pipeline
from shoal.nn.models import digits_cnn
from shoal.optim import SGD
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

data, model, optimizer = open_dataset(Data("digits"), "float64"), digits_cnn(), SGD(0.05, momentum=0.9)
batches = Sampler(len(data.train), batch=64, seed=0).batches(epoch=0)[:10]
settings = {"shape": data.shape, "fetch": data.train.read, "seed": 0, "dtype": "float64"}


def first_half(comm: Communicator) -> Path:
    """Two pipelines of two stages, of blocks 0-1 and 2-5."""
    partition = Partition.of([], comm.size // 2)
    strategy = Pipeline(model, optimizer, comm, partition, bounds=[(0, 2), (2, 6)], micro_batches=2, **settings)
    for batch in batches[:5]:
        strategy.feed(batch)
    with Store(folder, comm) as store:
        return store.save(strategy.state())


def second_half(comm: Communicator) -> np.ndarray:
    strategy = DataParallel(model, optimizer, comm, Partition.of([], comm.size), **settings)
    with Store(folder, comm) as store:
        generation = store.newest()
        strategy.load_state(generation.read, generation.meta)
    for batch in batches[strategy.step :]:
        strategy.feed(batch)
    return strategy.replica.weights.flat


def never_cut(comm: Communicator) -> np.ndarray:
    strategy = DataParallel(model, optimizer, comm, Partition.of([], comm.size), **settings)
    for batch in batches:
        strategy.feed(batch)
    return strategy.replica.weights.flat


with tempfile.TemporaryDirectory() as folder:
    generation, *_ = threads.run(4, first_half)
    for file in json.loads((generation / "manifest.json").read_text())["files"]:
        with h5py.File(generation / file["name"]) as stored:
            print(file["name"], {name: tensor.shape for name, tensor in stored["model"].items()})
    continued, _ = threads.run(2, second_half)
expected = never_cut(Alone())
print(f"largest difference from one rank, never cut: {abs(continued - expected).max() / abs(expected).max():.0e}")
