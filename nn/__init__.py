"""Layers, containers, losses and models: one machine, one rank, no MPI.

    from shoal.nn import Sequential, Conv2d, Linear, Arena, Layout
"""

from .activation import GELU, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softplus, Tanh
from .arena import Arena, Layout
from .attention import Attention
from .batch_norm import BatchNorm
from .concat import Concat
from .conv1d import Conv1d
from .conv2d import Conv2d
from .conv_transpose import ConvTranspose2d
from .dropout import Dropout
from .flatten import Flatten
from .last import Last
from .linear import Linear
from .loss import CrossEntropy, Loss
from .module import Module
from .pooling import AvgPool2d, GlobalAvgPool, MaxPool2d, MaxUnpool2d
from .recurrent import GRU, LSTM, RNN
from .replica import Replica
from .reshape import Reshape
from .residual import Residual
from .sequential import Sequential
from .stash import Pop, Stash
from .upsample import Upsample2d

__all__ = [
    "Arena",
    "Attention",
    "AvgPool2d",
    "BatchNorm",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "GELU",
    "GlobalAvgPool",
    "GRU",
    "Last",
    "Layout",
    "LeakyReLU",
    "Linear",
    "Loss",
    "LSTM",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "Pop",
    "ReLU",
    "ReLU6",
    "Replica",
    "Reshape",
    "Residual",
    "RNN",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "Softplus",
    "Stash",
    "Tanh",
    "Upsample2d",
]
