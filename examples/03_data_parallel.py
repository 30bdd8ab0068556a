"""Data parallelism by hand: every rank takes a share of each batch, and the sum of their gradients is that of the batch.

Three ranks run here as threads of one process and share nothing but the communicator. Add one line to the serial loop,
take a part of the batch, and nothing else changes: since all ranks add the same sum in the same order, their weights stay
equal to the bit, and are never sent.
"""

import numpy as np

from shoal.core.context import Context
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.nn import Arena, CrossEntropy, Layout
from shoal.nn.models import digits_cnn
from shoal.optim import SGD
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

STEPS = 20
data, model = open_dataset(Data("digits"), "float64"), digits_cnn()
loss, optimizer = CrossEntropy(), SGD(0.05, momentum=0.9)
sampler = Sampler(len(data.train), batch=64, seed=0)


def train(comm: Communicator) -> np.ndarray:
    """The weights after STEPS steps, as they are on this rank."""
    w = Arena(Layout(model.specs(data.shape)), "float64").initialise(seed=0)  # the same on every rank
    g, state = w.like(), {slot: w.like() for slot in optimizer.slots}
    for step, batch in enumerate(sampler.batches(epoch=0)[:STEPS]):
        mine = np.array_split(batch, comm.size)[comm.rank]
        x, labels = data.train.read(mine)
        ctx = Context(training=True, step=step, samples=mine)
        z, saved = model.forward(w.views, x, ctx)
        g.flat.fill(0)
        model.backward(w.views, g.views, saved, loss(z, labels, 1 / len(batch), ctx)[2], ctx)
        comm.allreduce(g.flat, "gradients")  # the line
        optimizer.update(w, g, state, step)
    return w.flat


serial = train(Alone())
first, *others = threads.run(3, train)
print(f"ranks equal to the bit: {all((other == first).all() for other in others)}")
print(f"largest difference from serial: {abs(first - serial).max() / abs(serial).max():.0e}")
