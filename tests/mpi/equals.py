"""The same training twice: by a loop that knows no ranks, and by a strategy on any communicator.

The loop is written out from Module, Replica and Optimizer alone, so that it shares nothing with the strategies it judges.
Started by mpirun, this file trains `cases` or their whole `product` on its ranks; rank 0 saves the weights, and prints the ranks' digests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from shoal.core.context import Context
from shoal.core.partition import Partition
from shoal.mpi.communicator import Communicator
from shoal.mpi.data_parallel import DataParallel
from shoal.nn import CrossEntropy, Replica, Sequential
from shoal.nn.models import digits_cnn, lenet, mlp
from shoal.optim import SGD

BACKEND = "cpu"
SEED, STEPS = 5, 20
MODELS: dict[str, tuple[Callable[[], Sequential], tuple[int, ...]]] = {
    "mlp": (lambda: mlp(dropout=0.1), (28, 28, 1)),
    "lenet": (lenet, (28, 28, 1)),
    "digits-cnn": (digits_cnn, (8, 8, 1)),
    "digits-cnn without dropout": (lambda: digits_cnn(dropout=0.0), (8, 8, 1)),
}
OPTIMIZERS = {
    "sgd": SGD(0.05, weight_decay=1e-3),
    "momentum": SGD(0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
}
NORMALISED = ()
Shares = tuple[float, ...]
Split = tuple[Shares, int]  # shares, micro-batches of each
WHOLE: Split = ((1,), 1)
SHARES: dict[int, list[Shares]] = {
    1: [(1,)],
    2: [(1, 1), (3, 1)],
    3: [(1, 1, 1), (2, 0, 1)],
    4: [(1, 1, 1, 1), (4, 1, 0, 2)],
}


@dataclass(frozen=True)
class Case:
    model: str
    optimizer: str
    shares: Shares
    micro_batches: int = 1

    def __str__(self) -> str:
        parts = f"-{self.micro_batches} parts" * (self.micro_batches > 1)
        return f"{self.model}-{self.optimizer}-{':'.join(map(str, self.shares))}{parts}"

    @property
    def split(self) -> Split:
        """How the serial loop must cut a batch to be the same: not at all, unless layers normalise over a batch."""
        return (self.shares, self.micro_batches) if self.model in NORMALISED else WHOLE


def product(ranks: int) -> list[Case]:
    """Every model with every optimizer and every share: the long suite."""
    models = [model for model in MODELS if "without" not in model]
    return [Case(m, o, s) for m in models for o in OPTIMIZERS for s in SHARES[ranks]]


def cases(ranks: int) -> list[Case]:
    """Both optimizers on mlp, momentum on lenet, everything on digits-cnn; equal and unequal shares."""
    equal, unequal = SHARES[ranks][0], SHARES[ranks][-1]
    large = [Case("mlp", "sgd", unequal, 3), Case("mlp", "momentum", equal), Case("lenet", "momentum", unequal)]
    return large + [Case("digits-cnn", o, s) for o in OPTIMIZERS for s in SHARES[ranks]]


@cache
def samples(model: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """19 samples: batches of 8, 8 and a ragged 3."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((19, *MODELS[model][1])).astype(dtype)
    return x, rng.integers(0, 10, 19)


def fetching(model: str, dtype: str) -> Callable[[np.ndarray], tuple[Any, Any]]:
    x, labels = samples(model, dtype)
    return lambda indices: (x[indices], labels[indices])


def batches(steps: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    found: list[np.ndarray] = []
    while len(found) < steps:
        order = rng.permutation(19)
        found += [order[:8], order[8:16], order[16:]]
    return found[:steps]


@dataclass
class Trained:
    weights: np.ndarray
    gradients: np.ndarray
    losses: list[float]
    right: list[int]


def pieces(batch: np.ndarray, split: Split) -> list[np.ndarray]:
    """The parts of a batch that go through the network on their own."""
    shares, micro_batches = split
    cut, found = Partition.of(shares, len(shares)), []
    for rank in range(len(shares)):
        share = batch[slice(*cut.bounds(len(batch), rank))]
        found += [part for part in np.array_split(share, micro_batches) if len(part)]
    return found


@cache
def serial(model: str, optimizer: str, dtype: str = "float64", steps: int = STEPS, split: Split = WHOLE) -> Trained:
    """The definition: forward, loss, backward, update."""
    build, shape = MODELS[model]
    network, rule, fetch = build(), OPTIMIZERS[optimizer], fetching(model, dtype)
    copy = Replica(network, shape, dtype).initialise(SEED, BACKEND)
    w, g = copy.weights, copy.gradients
    slots = {slot: w.like() for slot in rule.slots}
    losses, right = [], []
    for step, batch in enumerate(batches(steps)):
        copy.clear()
        loss, hits = 0.0, 0
        for part in pieces(batch, split):
            x, labels = fetch(part)
            ctx = Context(training=True, step=step, seed=SEED, samples=part.astype(np.int64), backend=BACKEND)
            z, saved = network.forward(copy.p, x, ctx)
            one, hit, dz = CrossEntropy()(z, labels, 1 / len(batch), ctx)
            network.backward(copy.p, copy.g, saved, dz, ctx)
            loss, hits = loss + one, hits + hit
        copy.commit()
        rule.update(w, g, slots, step, BACKEND)
        losses.append(loss / len(batch))
        right.append(hits)
    return Trained(np.concatenate([w.flat, copy.buffers.flat]), g.flat, losses, right)


def strategy(c: Communicator, case: Case, dtype: str = "float64", **settings: Any) -> DataParallel:
    build, shape = MODELS[case.model]
    settings = {"backend": BACKEND, "bucket_bytes": 1 << 16, "micro_batches": case.micro_batches, **settings}
    partition = Partition.of(case.shares, c.size)
    fetch = fetching(case.model, dtype)
    rule = OPTIMIZERS[case.optimizer]
    return DataParallel(build(), rule, c, partition, shape=shape, fetch=fetch, seed=SEED, dtype=dtype, **settings)


def trained(c: Communicator, case: Case, dtype: str = "float64", steps: int = STEPS, **settings: Any) -> Trained:
    """The same training by DataParallel."""
    trainer = strategy(c, case, dtype, **settings)
    reports = [report for batch in batches(steps) for report in trainer.feed(batch)]
    assert [(r.step, r.samples) for r in reports] == [(i, len(b)) for i, b in enumerate(batches(steps))]
    losses, right = [r.loss for r in reports], [r.right for r in reports]
    copy = trainer.replica
    return Trained(np.concatenate([copy.weights.flat, copy.buffers.flat]), copy.gradients.flat, losses, right)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """|a - b| / |b|."""
    return float(np.linalg.norm((a - b).astype(np.float64)) / np.linalg.norm(b.astype(np.float64)))


def digest(result: Trained) -> str:
    """Of everything that must be the same to the bit on all ranks."""
    facts = json.dumps([result.losses, result.right]).encode()
    return blake2b(result.weights.tobytes() + result.gradients.tobytes() + facts, digest_size=8).hexdigest()


def main(folder: str, which: str) -> None:
    from shoal.kernels.cpu.threads import cap, set_threads
    from shoal.mpi.agreement import threads
    from shoal.mpi.start import connect

    c = connect(deadline=300, backend=BACKEND)
    set_threads(min(threads(c), cap()))
    digests = {}
    for case in {"cases": cases, "product": product}[which](c.size):
        result = trained(c, case)
        digests[str(case)] = c.allgather_obj(digest(result), "digests")
        if c.rank == 0:
            np.savez(f"{folder}/{case}.npz", weights=result.weights, losses=result.losses, right=result.right)
    if c.rank == 0:
        sys.stdout.write(json.dumps(digests) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
