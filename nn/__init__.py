"""Layers, containers, losses and models: one machine, one rank, no MPI.

    from shoal.nn import Sequential, Conv2d, Linear, Arena, Layout
"""

from .activation import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from .arena import Arena, Layout
from .batch_norm import BatchNorm
from .conv2d import Conv2d
from .dropout import Dropout
from .embedding import Embedding, Positions
from .flatten import Flatten
from .group_norm import GroupNorm, LayerNorm
from .linear import Linear
from .loss import CrossEntropy, Loss
from .module import Module
from .pooling import MaxPool2d
from .replica import Replica
from .sequential import Sequential

__all__ = [
    "Arena",
    "BatchNorm",
    "Conv2d",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "Flatten",
    "GELU",
    "GroupNorm",
    "LayerNorm",
    "Layout",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MaxPool2d",
    "Module",
    "Positions",
    "ReLU",
    "Replica",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]
