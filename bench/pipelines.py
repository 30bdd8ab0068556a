"""Prints what a pipeline of stages gains over one rank, against the ideal m/(m+p-1) of each of its p ranks, measured alternately.

mpirun -n 2 python bench/pipelines.py [--rounds 9] [--json bench/results/pipelines.json]

Rank 0 trains alone while the others sleep, then all train as a pipeline, each with one thread; a round is a step of each
kind, so a slow moment of a shared machine slows all. Printed are medians over the rounds of ratios within a round.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from machine import machine

from shoal.core.partition import Partition
from shoal.kernels.cpu import threads
from shoal.mpi.alone import Alone
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.start import connect
from shoal.nn import models, profile
from shoal.optim import SGD
from shoal.plan import cut

SHAPE, CLASSES = (32, 32, 3), 10


def trainer(kind, name, communicator, batch, micro_batches, **more):
    """A strategy for random pictures, warmed up."""
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((batch, *SHAPE), np.float32), rng.integers(0, CLASSES, batch)
    stages = len(more["bounds"]) if "bounds" in more else 1
    settings = {"shape": SHAPE, "fetch": lambda i: (x[i], labels[i]), "seed": 1, "micro_batches": micro_batches, **more}
    model = models.build(name, SHAPE, CLASSES)
    found = kind(model, SGD(0.01, momentum=0.9), communicator, Partition.of((), communicator.size // stages), **settings)
    found.warm_up([batch])
    return found


def seconds(trainer, batch):
    """One step."""
    began = time.perf_counter()
    trainer.feed(np.arange(batch))
    return time.perf_counter() - began


def measured(name, c, options):
    """{figure: value} of one model; a collective call."""
    p, m, batch = c.size, options.micro_batches, options.batch
    alone, bounds = {}, None
    if c.rank == 0:
        spent = profile.seconds(models.build(name, SHAPE, CLASSES), SHAPE, batch // m)
        found = cut([forward + backward for forward, backward in spent], p)
        bounds = {"bounds": found.bounds, "balance": found.balance}
        alone = {
            "serial": trainer(DataParallel, name, Alone(), batch, 1),
            "serial in micro-batches": trainer(DataParallel, name, Alone(), batch, m),
            "pipeline of one": trainer(Pipeline, name, Alone(), batch, m, bounds=[(0, len(spent))]),
        }
    bounds = c.broadcast_obj(bounds, 0, "cut")
    pipeline = trainer(Pipeline, name, c, batch, m, bounds=[tuple(b) for b in bounds["bounds"]], schedule="1f1b")
    rounds = []
    for _ in range(options.rounds):
        times = {kind: seconds(one, batch) for kind, one in alone.items()}
        c.barrier("alone")
        times["pipeline"] = seconds(pipeline, batch)
        c.barrier("together")
        rounds.append(times)
    return facts(rounds, p, m, bounds) if c.rank == 0 else {}


def facts(rounds, p, m, bounds):
    """ideal: m/(m+p-1).   efficiency: samples/s of a rank, by those of one alone in the same micro-batches.   of_ideal: their ratio."""

    def ratio(above, below):
        return [times[above] / times[below] for times in rounds]

    efficiency, ideal = [r / p for r in ratio("serial in micro-batches", "pipeline")], m / (m + p - 1)
    return {
        "bounds": bounds["bounds"],
        "balance": round(bounds["balance"], 3),
        "ideal": round(ideal, 3),
        "efficiency": round(statistics.median(efficiency), 3),
        "of_ideal": round(statistics.median(efficiency) / ideal, 3),
        "lowest": round(min(efficiency) / ideal, 3),
        "highest": round(max(efficiency) / ideal, 3),
        "over_serial": round(statistics.median(ratio("serial", "pipeline")), 3),
        "cost_of_one": round(statistics.median(ratio("pipeline of one", "serial in micro-batches")) - 1, 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet20", "vgg11"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--micro-batches", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    c = connect(deadline=600, backend="cpu")
    threads.set_threads(1)
    results = {}
    for name in options.models:
        results[name] = r = measured(name, c, options)
        if c.rank == 0:
            print(
                f"{name:<10} {c.size} stages, heaviest/mean {r['balance']:.2f}: {r['efficiency']:.0%} of a rank's speed alone, "
                f"{r['of_ideal']:.0%} of the ideal {r['ideal']:.0%} ({r['lowest']:.0%} .. {r['highest']:.0%}); "
                f"{r['over_serial']:.2f} times serial; a pipeline of one costs {r['cost_of_one']:+.1%}",
                flush=True,
            )
    if options.json and c.rank == 0:
        setting = {"ranks": c.size, "threads": 1, "batch": options.batch, "micro_batches": options.micro_batches, "rounds": options.rounds}
        record = {"machine": machine("numpy", "numba", "llvmlite", "mpi4py"), "setting": setting, "results": results}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
