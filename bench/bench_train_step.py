"""How fast is a training step: forward, loss, backward and update, on random data?

Beside it, how much of it is batch norm, pooling and depthwise convolution, which are bound by memory.
"""

import numpy as np
import pytest
from networks import NETWORKS, batch_of, build, cost_of, trainer
from peers import Step, torch, translated
from shares import shares

from shoal.jobs.targets import Target
from shoal.kernels.cpu.limits import fma_gflops
from shoal.mpi.alone import Alone

KINDS = ("eager", "channels last", "compile")  # PyTorch's
JUDGED = ("mlp", "lenet", "vgg11")
TARGETS = [Target("training step", "PyTorch channels last", 1.2, 0.95)]


@pytest.mark.parametrize("network", NETWORKS)
def bench_train_step(measure, quick, network):
    x, labels = batch_of(network, 8 if quick else None)
    ours = trainer(network, Alone(), x, labels)
    step = lambda: ours.feed(np.arange(len(x)))  # noqa: E731
    measure(
        step,
        peers=peers(network, x, labels, KINDS[:2] if quick else KINDS) if torch else {},
        limit=lambda: fma_gflops(seconds=0.01),
        work=len(x) * cost_of(network),
        **shares(step),
        **{"group": "training step"} if network in JUDGED else {},
    )


def peers(network, x, labels, kinds):
    found = {}
    for kind in kinds:
        step = Step(translated(build(network), x.shape[1:]), x, labels, kind)
        try:
            step()
        except Exception as error:
            if kind != "compile":  # it needs a C++ compiler
                raise
            print(f"torch.compile does not run here: {error}")
            continue
        found[f"PyTorch {kind}"] = step
    return found
