"""How near to the multiply-add limit is a recurrent layer: forward over all steps, and its gradients?"""

import numpy as np
import pytest
from peers import nn, torch

from shoal.core.context import Context
from shoal.core.cost import total
from shoal.kernels.cpu.limits import fma_gflops
from shoal.kernels.pool import Pool
from shoal.nn import GRU, LSTM, RNN, Replica, Sequential
from shoal.nn.cost import measure as cost

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
STEPS = 32


@pytest.mark.parametrize("size", [(64, 128), (32, 512)], ids=lambda size: "batch {} width {}".format(*size))
@pytest.mark.parametrize("layer", LAYERS)
def bench_recurrent(measure, layer, size):
    batch, width = size
    x = np.random.default_rng(0).standard_normal((batch, STEPS, width), np.float32)
    dy = np.random.default_rng(1).standard_normal((batch, STEPS, width), np.float32)
    model, pool = Sequential(LAYERS[layer](width)), Pool()
    replica = Replica(model, x.shape[1:]).initialise(seed=0)

    def ours():
        ctx = Context(training=True, samples=np.arange(batch), pool=pool)
        _, saved = model.forward(replica.p, x, ctx)
        replica.clear()
        model.backward(replica.p, replica.g, saved, dy, ctx)

    counted = total(cost(model, x.shape[1:]))
    measure(
        ours,
        peers={"PyTorch": peer(layer, x, dy)} if torch else {},
        limit=lambda: fma_gflops(seconds=0.01),
        work=batch * (counted.forward + counted.backward),
    )


def peer(layer, x, dy):
    module = getattr(nn, layer.upper())(x.shape[2], x.shape[2], batch_first=True)
    x, dy = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)

    def step():
        module.zero_grad()
        module(x)[0].backward(dy)

    return step
