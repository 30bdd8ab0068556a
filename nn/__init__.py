"""Layers, containers, losses and models: one machine, one rank, no MPI.

    from shoal.nn import Sequential, Conv2d, Linear, Arena, Layout
"""

from .activation import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .arena import Arena, Layout
from .batch_norm import BatchNorm
from .conv2d import Conv2d
from .dropout import Dropout
from .flatten import Flatten
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
    "Flatten",
    "GELU",
    "Layout",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Replica",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
