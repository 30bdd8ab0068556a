"""How near to the memory's bandwidth is an update of all weights?

GB/s of compulsory bytes, of buffers of four times the last cache, against a triad; PyTorch's are its fused updates, where it has them.
"""

import pytest
from machine import last_cache
from peers import torch

from shoal.core.spec import Init, Spec
from shoal.kernels.cpu.limits import triad_gbytes
from shoal.nn import Arena, Layout
from shoal.optim import NAG, QHM, SGD, Adagrad, Adam, AdamW, NAdam, RMSprop

# name: (the rule, PyTorch's)
RULES = {
    "sgd": (SGD(1e-3), lambda w: torch.optim.SGD(w, 1e-3, fused=True)),
    "momentum": (SGD(1e-3, momentum=0.9), lambda w: torch.optim.SGD(w, 1e-3, momentum=0.9, fused=True)),
    "nag": (NAG(1e-3), None),
    "qhm": (QHM(1e-3), None),
    "adagrad": (Adagrad(1e-3), lambda w: torch.optim.Adagrad(w, 1e-3, fused=True)),
    "rmsprop": (RMSprop(1e-3), lambda w: torch.optim.RMSprop(w, 1e-3)),
    "nadam": (NAdam(1e-3), lambda w: torch.optim.NAdam(w, 1e-3)),
    "adam": (Adam(1e-3), lambda w: torch.optim.Adam(w, 1e-3, fused=True)),
    "adamw": (AdamW(1e-3), lambda w: torch.optim.AdamW(w, 1e-3, fused=True)),
}


@pytest.mark.parametrize("rule", RULES)
def bench_optimizer(measure, quick, rule):
    nbytes = (1 << 18) if quick else 4 * last_cache()
    ours, of_torch = RULES[rule]
    w = Arena(Layout([Spec("0.weight", (nbytes // 4,), Init("uniform", 1.0))])).initialise(seed=0)
    g = w.like().initialise(seed=1)
    state = {slot: w.like() for slot in ours.slots}
    step = iter(range(1 << 40))
    op, settings = ours.rule(1)
    slots = [state[name].flat if name in state else w.flat[:0] for name in op.updates if name != "w"]
    arrays, how = (w.flat, g.flat, *slots, w.layout.decay), {"lr": 1e-3, "weight_decay": 0.0, **settings}
    measure(
        lambda: ours.update(w, g, state, next(step)),
        peers={"PyTorch": peer(of_torch, w, g)} if torch and of_torch else {},
        limit=lambda: triad_gbytes(nbytes, seconds=0.01 if quick else 0.2),
        work=op.bytes(*arrays, **how),
        unit="GB/s",
        intensity=op.flops(*arrays, **how) / op.bytes(*arrays, **how),
    )


def peer(make, w, g):
    weight = torch.from_numpy(w.flat.copy()).requires_grad_()
    weight.grad = torch.from_numpy(g.flat.copy())
    return make([weight]).step
