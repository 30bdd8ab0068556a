"""lenet on the embedded digits, by hand: no command line, no strategy, no MPI."""

import numpy as np

from shoal.core.context import Context
from shoal.nn import Arena, CrossEntropy, Layout
from shoal.nn.models import lenet
from shoal.optim import SGD
from shoal.train.config import Data
from shoal.train.data import open_dataset
from shoal.train.sampler import Sampler

data, model, loss, optimizer = open_dataset(Data("digits")), lenet(10), CrossEntropy(), SGD(lr=0.05, momentum=0.9)
w = Arena(Layout(model.specs(data.shape))).initialise(seed=0)  # all weights in one flat buffer, with named views
g, state, sampler = w.like(), {slot: w.like() for slot in optimizer.slots}, Sampler(len(data.train), batch=64, seed=0)
for step in range(5 * len(sampler)):
    epoch, number = sampler.position(step)
    batch = sampler.batches(epoch)[number]
    x, labels = data.train.read(batch)
    ctx = Context(training=True, step=step, samples=batch)
    y, saved = model.forward(w.views, x, ctx)
    g.flat.fill(0)
    model.backward(w.views, g.views, saved, loss(y, labels, 1 / len(batch), ctx)[2], ctx)
    optimizer.update(w, g, state, step)
x, labels = data.test.read(np.arange(len(data.test)))
y = model.infer(w.views, x, Context())
print(f"test accuracy {(y.argmax(axis=1) == labels).mean():.2%}")
