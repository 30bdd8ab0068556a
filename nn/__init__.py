"""Layers, containers, losses and models: one machine, one rank, no MPI.

    from shoal.nn import Sequential, Conv2d, Linear, Arena, Layout
"""

from .activation import ReLU
from .arena import Arena, Layout
from .conv2d import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Linear
from .loss import CrossEntropy
from .module import Module
from .pooling import AvgPool2d, GlobalAvgPool, MaxPool2d
from .sequential import Sequential

__all__ = [
    "Arena",
    "AvgPool2d",
    "Conv2d",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "Layout",
    "Linear",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Sequential",
]
