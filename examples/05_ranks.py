"""Ranks as threads, and ranks as processes: a program that is given its communicator does not know which, and the bits are equal.

    python examples/05_ranks.py                     two ranks as threads, to try and to debug
    mpirun -n 2 python examples/05_ranks.py         two processes, on one machine or two

connect() finds out how it was started. Sums are taken in the order of the ranks, so the digest of the weights is the same.
"""

from hashlib import blake2b

from shoal.core.partition import Partition
from shoal.mpi import threads
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.start import connect
from shoal.nn.models import digits_cnn
from shoal.optim import SGD
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

data = open_dataset(Data("digits"), "float64")


def train(comm: Communicator) -> str:
    """A digest of the weights after an epoch."""
    settings = {"shape": data.shape, "fetch": data.train.read, "seed": 0, "dtype": "float64"}
    strategy = DataParallel(digits_cnn(), SGD(0.05, momentum=0.9), comm, Partition.of([], comm.size), **settings)
    for batch in Sampler(len(data.train), batch=64, seed=0).batches(epoch=0):
        strategy.feed(batch)
    return blake2b(strategy.replica.weights.flat.tobytes(), digest_size=8).hexdigest()


world = connect()
if world.size == 1:
    print("2 ranks as threads:", *threads.run(2, train))
else:
    digests = world.allgather_obj(train(world), "digests")
    if world.rank == 0:
        print(f"{world.size} ranks as processes:", *digests)
