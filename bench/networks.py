"""The reference networks of every question that trains: their input, their batch, random data, and a strategy for it."""

import numpy as np

from shoal.core.cost import total
from shoal.core.partition import Partition
from shoal.mpi.data_parallel import DataParallel
from shoal.nn import models
from shoal.nn.cost import measure
from shoal.optim import SGD

CLASSES = 10
NETWORKS = {"digits-cnn": 64, "mlp": 128, "lenet": 128, "resnet20": 64, "vgg11": 64, "mobilenet": 64}  # name: batch


def build(name):
    """Without dropout, of which a peer would draw other bits."""
    return models.build(name, models.find(name).shape, CLASSES, **{"dropout": 0.0} if name == "digits-cnn" else {})


def batch_of(name, size=None):
    """(x, labels): so many random samples, or the network's own batch."""
    size, rng = size or NETWORKS[name], np.random.default_rng(1)
    return rng.standard_normal((size, *models.find(name).shape), np.float32), rng.integers(0, CLASSES, size)


def cost_of(name):
    """Operations of a training step, for one sample."""
    counted = total(measure(build(name), models.find(name).shape))
    return counted.forward + counted.backward


def trainer(name, comm, x, labels, kind=DataParallel, lr=1e-4, **more):
    """A strategy of that kind for these samples, warmed up; a collective call.   more: settings of the strategy.

    lr: small, because one batch is learnt by heart in as many steps as are timed, and then gradients are zeros.
    """
    settings = {"shape": x.shape[1:], "fetch": lambda i: (x[i], labels[i]), "seed": 1, **more}
    partition = Partition.of((), comm.size // len(more.get("bounds", [0])))
    found = kind(build(name), SGD(lr, momentum=0.9), comm, partition, **settings)
    found.warm_up([len(x)])
    return found
