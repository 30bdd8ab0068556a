"""What does a pipeline of stages gain over one rank, against the ideal m/(m+p-1) of each of its p ranks?

Rank 0 trains alone while the others sleep, then all train as a pipeline, cut by measured time.
ideal: the speed of each rank, of one alone in the same micro-batches, by m/(m+p-1).      pipeline of one: what the machinery costs.
"""

import numpy as np
import pytest
from networks import batch_of, build, trainer
from peers import Step, group, torch, translated

from shoal.mpi.alone import Alone
from shoal.mpi.pipeline import Pipeline
from shoal.nn import profile
from shoal.plan import cut

RANKS = 2
MICRO_BATCHES = 8
IN_TORCH = {"1f1b": "Schedule1F1B", "gpipe": "ScheduleGPipe"}


@pytest.mark.parametrize("schedule", ["1f1b", "gpipe"])
@pytest.mark.parametrize("network", ["resnet20", "vgg11"])
def bench_pipeline(measure, comm, quick, network, schedule):
    (x, labels), p, m = batch_of(network, 16 if quick else None), comm.size, MICRO_BATCHES
    bounds, balance = cuts(comm, network, len(x) // m)
    alone = {}
    if comm.rank == 0:
        whole = [(bounds[0][0], bounds[-1][1])]
        alone = {
            "serial": trainer(network, Alone(), x, labels),
            "micro-batches": trainer(network, Alone(), x, labels, micro_batches=m),
            "pipeline of one": trainer(network, Alone(), x, labels, Pipeline, micro_batches=m, bounds=whole),
        }
    everything, ideal = np.arange(len(x)), m / (m + p - 1)
    names = ("serial", "micro-batches", "pipeline of one")
    peers = {name: lambda name=name: alone and alone[name].feed(everything) for name in names}
    if torch:
        peers["PyTorch"] = peer(comm, network, bounds, x, labels, IN_TORCH[schedule])
    ours = trainer(network, comm, x, labels, Pipeline, micro_batches=m, bounds=bounds, schedule=schedule)

    def ratios(seconds):
        one, machinery = seconds["micro-batches"], seconds["micro-batches"] / seconds["pipeline of one"]
        found = {name: seconds[name] / seconds["ours"] for name in ("serial", "PyTorch") if name in seconds}
        return {"ideal": one / (p * seconds["ours"] * ideal), **found, "pipeline of one": machinery}

    measure(lambda: ours.feed(everything), peers=peers, ratios=ratios, stages=p, micro_batches=m, balance=balance)


def cuts(comm, network, samples):
    """(bounds, heaviest/mean) by the times that rank 0 measures; a collective call."""
    found = None
    if comm.rank == 0:
        model, shape = build(network), batch_of(network, 1)[0].shape[1:]
        plan = cut([forward + backward for forward, backward in profile.seconds(model, shape, samples)], comm.size)
        found = [plan.bounds, plan.balance]
    bounds, balance = comm.broadcast_obj(found, 0, "cut")
    return [tuple(stage) for stage in bounds], balance


def peer(comm, network, bounds, x, labels, schedule):
    """The same stages in torch.distributed.pipelining, over gloo; a collective call."""
    from torch.distributed import pipelining

    group(comm)
    model, (start, stop) = build(network), bounds[comm.rank]
    before = model[:start].out_shape(x.shape[1:]) if start else x.shape[1:]
    step = Step(translated(model[start:stop], before), x, labels)
    stage = pipelining.PipelineStage(step.module, comm.rank, comm.size, torch.device("cpu"))
    plan = getattr(pipelining, schedule)(stage, MICRO_BATCHES, loss_fn=torch.nn.functional.cross_entropy)
    given = (step.x,) if comm.rank == 0 else ()
    target = {"target": step.labels} if comm.rank == comm.size - 1 else {}

    def run():
        step.optimizer.zero_grad()
        plan.step(*given, **target)
        step.optimizer.step()

    return run
