"""Layers, containers, losses and models: one machine, one rank, no MPI.

from shoal.nn import Sequential, Conv2d, Linear, Arena, Layout
"""

from .activation import GELU, LeakyReLU, LogSoftmax, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Softplus, Tanh
from .arena import Arena, Layout
from .attention import Attention
from .batch_norm import BatchNorm
from .concat import Concat
from .conv1d import Conv1d
from .conv2d import Conv2d
from .conv3d import Conv3d
from .conv_transpose import ConvTranspose2d
from .dice import Dice
from .dropout import Dropout
from .elementwise_loss import BCE, L1, MSE, Focal, Huber
from .embedding import Embedding, Positions
from .flatten import Flatten
from .group_norm import GroupNorm, LayerNorm
from .last import Last
from .linear import Linear
from .loss import CrossEntropy, KLDivergence, Loss
from .module import Module
from .pooling import AvgPool2d, GlobalAvgPool, MaxPool2d, MaxUnpool2d
from .recompute import Recompute, recomputed
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
    "BCE",
    "BatchNorm",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "CrossEntropy",
    "Dice",
    "Dropout",
    "Embedding",
    "Flatten",
    "Focal",
    "GELU",
    "GRU",
    "GlobalAvgPool",
    "GroupNorm",
    "Huber",
    "KLDivergence",
    "L1",
    "LSTM",
    "Last",
    "LayerNorm",
    "Layout",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MSE",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "Pop",
    "Positions",
    "RNN",
    "ReLU",
    "ReLU6",
    "Recompute",
    "Replica",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Stash",
    "Tanh",
    "Upsample2d",
    "recomputed",
]
