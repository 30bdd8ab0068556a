"""Data x pipeline: a mesh gives each rank two coordinates; rows are pipelines, columns are replicas of a stage.

Pipeline makes both groups of the communicator by itself: in its row a rank hands activations on, in its column it sums
gradients. The first pipeline takes three quarters of each batch.

    python examples/08_mesh.py                      four ranks as threads, or with mpirun -n 4
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
from shoal.plan import Mesh, cut
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

STEPS = 10
data, model = open_dataset(Data("digits"), "float64"), digits_cnn()
batches = Sampler(len(data.train), batch=64, seed=0).batches(epoch=0)[:STEPS]
costs = [block.forward + block.backward for block in measure(model, data.shape)]


def train(comm: Communicator, stages: int) -> tuple[int, dict[str, np.ndarray]]:
    """How many samples of a batch go through this rank, and its weights by name."""
    shares = Partition((3, 1)[: comm.size // stages])
    settings = {"shape": data.shape, "fetch": data.train.read, "seed": 0, "dtype": "float64"}
    settings |= {"bounds": cut(costs, stages).bounds, "schedule": "1f1b", "micro_batches": 4}
    strategy = Pipeline(model, SGD(0.05, momentum=0.9), comm, shares, **settings)
    for batch in batches:
        strategy.feed(batch)
    weights = strategy.replica.weights
    held = {name: weights[name] for name in weights.layout.specs}
    return len(strategy.share(batches[0])), held


_, serial = train(Alone(), stages=1)
world, mesh = connect(), Mesh(("data", "pipeline"), (2, 2))
if world.size == 1:
    ranks = dict(enumerate(threads.run(4, lambda comm: train(comm, stages=2))))
else:
    ranks = {world.rank: train(world, stages=2)}
for rank, (samples, held) in ranks.items():
    far = max(abs(w - serial[name]).max() / abs(serial[name]).max() for name, w in held.items())
    what = f"{samples} samples, {', '.join(held)}; difference from serial {far:.0e}"
    print(rank, mesh.coordinate(rank), what, flush=True)
