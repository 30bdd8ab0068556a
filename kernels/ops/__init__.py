"""The operations: formula, shape rule, flop count. One place, read before any kernel.

Letters: N batch, H W input rows and columns, C input channels, K output channels, R S kernel rows and columns, P Q output
rows and columns, G groups, T time; M N K for gemm. Channels last everywhere. Gradients are called dx, dw after what they
belong to. `accumulate=True` adds into `out` (how gradients are collected); a gemm, which can do more, has `beta=1.0` for it.

    ops/<file>.py        what an op is                  reference/<file>.py, cpu/<file>.py        how it is computed
"""

from .activation import (
    gelu,
    gelu_dx,
    gelu_tanh,
    gelu_tanh_dx,
    leaky_relu,
    leaky_relu_dx,
    relu,
    relu6,
    relu6_dx,
    relu_dx,
    sigmoid,
    sigmoid_dx,
    silu,
    silu_dx,
    softplus,
    softplus_dx,
    tanh,
    tanh_dx,
)
from .adaptive import adagrad, adam, mixed_adam, rmsprop
from .attention import attention, attention_dx
from .batch_norm import batch_norm, batch_norm_dx, batch_norm_sums, column_moments
from .conv2d import conv2d
from .conv2d_gradient import conv2d_dw, conv2d_dx
from .conv3d import conv3d, conv3d_dw, conv3d_dx
from .copy import copy, last_step, last_step_dx
from .dice import dice
from .dropout import dropout
from .elementwise import add, add_bias, multiply, scaled
from .elementwise_loss import bce_with_logits, focal, huber, l1, mse
from .gemm import batched_gemm, column_sum, gemm
from .group_norm import group_norm, group_norm_dw, group_norm_dx
from .gru import gru, gru_dx
from .gru_cho import gru_cho, gru_cho_dx
from .indexing import concat, gather, scatter_add, split
from .loss import cross_entropy, kl_divergence
from .lstm import lstm, lstm_dx
from .optimizer import aggmo, look_ahead, momentum, nag, qhm, sgd, sutskever
from .philox import fill_normal, fill_uniform, random_bits
from .pooling import avg_pool2d, avg_pool2d_dx, max_pool2d, max_pool2d_dx, max_unpool2d_dx
from .recurrent import recurrent_dw, rnn, rnn_dx
from .reduction import ordered_sum, row_max, row_mean, row_sum, sum_of_squares
from .softmax import log_softmax, log_softmax_dx, softmax, softmax_dx
from .upsampling import upsample2d, upsample2d_dx
