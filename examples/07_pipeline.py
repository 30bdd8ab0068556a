"""A pipeline: consecutive blocks on consecutive ranks, micro-batches through them by a schedule, the result that of one rank.

No rank holds the whole model. What they hold together, under the names that the whole gives its weights, is compared with
serial training.

    python examples/07_pipeline.py                  or with mpirun -n 3
"""

import numpy as np

from shoal.core.partition import Partition
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.start import connect
from shoal.nn.cost import measure
from shoal.nn.models import digits_cnn
from shoal.optim import SGD
from shoal.plan import cut
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

STEPS, MICRO_BATCHES = 10, 4
data, model = open_dataset(Data("digits"), "float64"), digits_cnn()
batches = Sampler(len(data.train), batch=64, seed=0).batches(epoch=0)[:STEPS]
costs = [block.forward + block.backward for block in measure(model, data.shape)]


def train(comm: Communicator) -> tuple[dict[str, np.ndarray], str]:
    """The weights of this rank's stage by name, and what it did."""
    settings = {"shape": data.shape, "fetch": data.train.read, "seed": 0, "dtype": "float64"}
    settings |= {"bounds": cut(costs, comm.size).bounds, "schedule": "1f1b", "micro_batches": MICRO_BATCHES}
    pipeline = Pipeline(model, SGD(0.05, momentum=0.9), comm, Partition((1,)), **settings)
    for batch in batches:
        pipeline.feed(batch)
    weights = pipeline.replica.weights
    did = f"{', '.join(weights.layout.specs) or 'no weights'}; at most {pipeline.most_live} micro-batches alive"
    return {name: weights[name] for name in weights.layout.specs}, did


serial, _ = train(Alone())
world = connect()
stages = threads.run(3, train) if world.size == 1 else [train(world)]
for held, did in stages:
    far = max((abs(w - serial[name]).max() / abs(serial[name]).max() for name, w in held.items()), default=0.0)
    print(f"{did}; largest difference from serial {far:.0e}", flush=True)
