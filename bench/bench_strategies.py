"""One network, one global batch, every strategy: how fast, how much memory and traffic, and is it the same training?

predicted, measured: speed against serial, and bubble; predicted from the blocks' measured times, with messages that cost nothing.
loss differs: from serial's after STEPS steps, by what serial's has fallen.
messages, bytes: of all ranks, each step.      memory: of the fullest rank.
"""

from dataclasses import dataclass

import numpy as np
from networks import batch_of, build, trainer

from shoal.core.trace import Trace
from shoal.mpi.alone import Alone
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.stages import Stages
from shoal.nn import profile
from shoal.plan import SCHEDULES, Costs, cut, simulate

RANKS = 4
NETWORK, MICRO_BATCHES, STEPS, LR = "lenet", 8, 5, 0.05


@dataclass(frozen=True)
class Plan:
    """replicas x stages ranks."""

    replicas: int
    stages: int = 1
    schedule: str = "1f1b"


def pytest_generate_tests(metafunc):
    ranks = metafunc.config.comm.size
    plans = {"serial": Plan(1), "data parallel": Plan(ranks)}
    plans |= {schedule: Plan(1, ranks, schedule) for schedule in SCHEDULES}
    plans |= {f"mesh 2 x {ranks // 2}": Plan(2, ranks // 2)} if ranks % 2 == 0 and ranks > 2 else {}
    metafunc.parametrize("plan", plans.values(), ids=plans)


def bench_strategies(measure, comm, quick, plan):
    x, labels = batch_of(NETWORK, 32 if quick else None)
    everything = np.arange(len(x))
    found = comm.broadcast_obj(predicted(plan, x) if comm.rank == 0 else None, 0, "prediction")
    bounds = [tuple(stage) for stage in found.pop("bounds")]
    serial = trainer(NETWORK, Alone(), x, labels, lr=LR) if comm.rank == 0 else None
    ours = strategy(comm, plan, bounds, x, labels)
    (_, loss), (start, of_serial) = (trained(one, everything) for one in (ours, serial))
    found["loss differs"] = abs(loss - of_serial) / max(start - of_serial, 1e-9)
    found |= {**traffic(comm, ours, everything), "memory": max(gathered(comm, ours.memory() if ours else 0))}
    if plan.stages > 1:
        found["bubble, measured"] = bubble(comm, ours, everything)
    case = measure(
        lambda: ours and ours.feed(everything),
        peers={"serial": lambda: serial and serial.feed(everything)},
        **found,
    )
    case.rates["samples/s"] = len(x) / case.seconds.median
    if serial:
        assert found["loss differs"] < 1e-3, f"{plan} does not train as serial does: {loss} is not {of_serial}"


def trained(strategy, batch):
    """(first, last) loss of STEPS steps; zeros where there is no strategy."""
    losses = [strategy.feed(batch)[0].loss if strategy else 0.0 for _ in range(STEPS)]
    return losses[0], losses[-1]


def strategy(comm, plan, bounds, x, labels):
    """On all ranks; serial on rank 0 alone, None on the others."""
    if plan.stages > 1:
        how = {"bounds": bounds, "schedule": plan.schedule, "micro_batches": MICRO_BATCHES}
        return trainer(NETWORK, comm, x, labels, Pipeline, lr=LR, **how)
    if plan.replicas == comm.size:
        return trainer(NETWORK, comm, x, labels, lr=LR)
    return trainer(NETWORK, Alone(), x, labels, lr=LR) if comm.rank == 0 else None


def predicted(plan, x):
    """{"bounds", "predicted": speed against serial, "bubble, predicted"}, from times that are measured here."""
    model, shape = build(NETWORK), x.shape[1:]
    whole = sum(map(sum, profile.seconds(model, shape, len(x))))
    if plan.stages == 1:
        share = sum(map(sum, profile.seconds(model, shape, len(x) // plan.replicas)))
        return {"bounds": [(0, len(model))], "predicted": whole / share}
    spent = profile.seconds(model, shape, len(x) // plan.replicas // MICRO_BATCHES)
    bounds = cut([forward + backward for forward, backward in spent], plan.stages).bounds
    seconds = {
        kind: [sum(block[which] for block in spent[start:stop]) for start, stop in bounds]
        for which, kind in enumerate(("forward", "backward"))
    }
    stages = Stages(model, shape, bounds, plan.schedule, MICRO_BATCHES)
    timeline = simulate(stages.training, Costs(seconds)).timeline
    return {"bounds": bounds, "predicted": whole / timeline.makespan, "bubble, predicted": timeline.bubble}


def traffic(comm, ours, batch):
    """Of one step, of all ranks; a collective call."""
    before = (comm.counters.messages, comm.counters.bytes)
    if ours:
        ours.feed(batch)
    mine = [comm.counters.messages - before[0], comm.counters.bytes - before[1]]
    messages, sent = map(sum, zip(*gathered(comm, mine), strict=True))
    return {"messages": messages, "bytes": sent}


def bubble(comm, ours, batch):
    """Of one step of the first pipeline, as its ranks saw it; a collective call."""
    comm.trace = trace = Trace(comm.rank)
    trace.recording = True
    ours.feed(batch)
    comm.trace = None
    spans = [one for one in trace.take() if one.kind == "action"]
    times = gathered(comm, [[span.start, span.stop] for span in spans])[: ours.pipe.size]
    pairs = [pair for rank in times for pair in rank]
    makespan = max(stop for _, stop in pairs) - min(start for start, _ in pairs)
    return 1 - sum(stop - start for start, stop in pairs) / (len(times) * makespan)


def gathered(comm, value):
    return comm.allgather_obj(value, "figures")
