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
from shoal.mpi.pipeline import Pipeline
from shoal.mpi.synchronous import Synchronous
from shoal.nn import (
    Arena,
    BatchNorm,
    Conv2d,
    CrossEntropy,
    Dropout,
    GlobalAvgPool,
    Layout,
    Linear,
    Pop,
    Replica,
    Sequential,
    Stash,
)
from shoal.nn.models import build, digits_cnn, lenet, mlp, resnet20
from shoal.optim import (
    NAG,
    QHM,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    AggMo,
    Cosine,
    NAdam,
    OneCycle,
    Optimizer,
    QHAdam,
    RMSprop,
    Sutskever,
    Warmup,
)
from shoal.plan import cut


def skips() -> Sequential:
    """All that makes a cut of a list difficult: a long skip, tied weights, running statistics, dropout.

    No bias in front of batch norm: its gradient is zero but for rounding, which Adagrad divides by its own size.
    """
    return Sequential(
        Conv2d(4, 3, padding="same", bias=False),
        BatchNorm(activation="relu"),
        Stash("a"),
        Conv2d(4, 3, padding="same", bias=False),
        BatchNorm(activation="relu"),
        Dropout(0.1),
        Pop("a", 4),
        Conv2d(8, 3, stride=2, activation="relu"),
        GlobalAvgPool(),
        Linear(8, activation="relu"),
        Linear(8, activation="relu"),
        Linear(8, activation="relu"),
        Linear(10),
        tie={"11.weight": "9.weight", "4.weight": "1.weight"},  # the second crosses a cut into 3 or 4 stages
    )


BACKEND = "cpu"
SEED, STEPS = 5, 20
MODELS: dict[str, tuple[Callable[[], Sequential], tuple[int, ...]]] = {
    "mlp": (lambda: mlp(dropout=0.1), (28, 28, 1)),
    "lenet": (lenet, (28, 28, 1)),
    "digits-cnn": (digits_cnn, (8, 8, 1)),
    "digits-cnn without dropout": (lambda: digits_cnn(dropout=0.0), (8, 8, 1)),
    "skips": (skips, (8, 8, 1)),
    "resnet20": (resnet20, (32, 32, 3)),
}
TOKENS = ("gpt", "lstm-lm")
OTHERS: dict[
    str, tuple[Callable[[], Sequential], tuple[int, ...]]
] = {  # not in the products: ties and skips from end to end, recurrence
    "gpt": (lambda: build("gpt", (6,), 7, width=8, depth=1, heads=2), (6,)),
    "lstm-lm": (lambda: build("lstm-lm", (6,), 7, width=6), (6,)),
    "unet": (lambda: build("unet", (8, 8, 1), 3, width=2, depth=1), (8, 8, 1)),
}
EVERY = MODELS | OTHERS
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(0.05, weight_decay=1e-3),
    "momentum": SGD(0.02, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "sutskever": Sutskever(Cosine(0.02, steps=STEPS), weight_decay=1e-3),
    "nag": NAG(0.02, weight_decay=1e-3),
    "qhm": QHM(0.05, weight_decay=1e-3),
    "aggmo": AggMo(0.01, weight_decay=1e-3),
    "adagrad": Adagrad(0.01, weight_decay=1e-3),
    "rmsprop": RMSprop(1e-3, centered=True, momentum=0.9, weight_decay=1e-3),
    "adam": Adam(weight_decay=1e-3),
    "adamw": AdamW(Warmup(OneCycle(1e-3, steps=15), 5)),
    "amsgrad": Adam(amsgrad="torch", weight_decay=1e-3),
    "nadam": NAdam(weight_decay=1e-3),
    "qhadam": QHAdam(nus=(0.7, 1.0), weight_decay=1e-3),
}
NORMALISED = ("skips", "resnet20", "unet")  # what these compute depends on what they see at once
Shares = tuple[float, ...]
Split = tuple[Shares, int, str]  # shares, micro-batches of each, whether normalisation sees those of all shares at once
WHOLE: Split = ((1,), 1, "share")
SHARES: dict[int, list[Shares]] = {
    1: [(1,)],
    2: [(1, 1), (3, 1)],
    3: [(1, 1, 1), (2, 0, 1)],
    4: [(1, 1, 1, 1), (4, 1, 0, 2)],
}


@dataclass(frozen=True)
class Case:
    """shares x stages ranks; with one stage that is data parallelism."""

    model: str
    optimizer: str
    shares: Shares
    micro_batches: int = 1
    stages: int = 1
    schedule: str = "1f1b"
    norm: str = "batch"
    clip: float = 0.0

    def __str__(self) -> str:
        parts = f"-{self.micro_batches} parts" * (self.micro_batches > 1)
        stages = f"-{self.stages} stages {self.schedule}" * (self.stages > 1)
        rest = "-own norm" * (self.norm == "share") + "-clipped" * bool(self.clip)
        return f"{self.model}-{self.optimizer}-{':'.join(map(str, self.shares))}{parts}{stages}{rest}"

    @property
    def ranks(self) -> int:
        return len(self.shares) * self.stages

    @property
    def split(self) -> Split:
        """How the serial loop must cut a batch to be the same: not at all, unless layers normalise over a batch."""
        return (self.shares, self.micro_batches, self.norm) if self.model in NORMALISED else WHOLE


def product(ranks: int) -> list[Case]:
    """Every model with every optimizer and every share: the long suite."""
    models = [model for model in MODELS if "without" not in model]
    return [Case(m, o, s) for m in models for o in OPTIMIZERS for s in SHARES[ranks]]


def cases(ranks: int) -> list[Case]:
    """On mlp sgd, momentum and half of the other optimizers, so that 2 and 3 ranks try them all; momentum and Adam on lenet;
    sgd and momentum on digits-cnn with everything; equal and unequal shares; then norms, pipelines and resnet20.
    """
    equal, unequal = SHARES[ranks][0], SHARES[ranks][-1]
    large = [Case("mlp", "sgd", unequal, 3), Case("mlp", "momentum", equal), Case("lenet", "momentum", unequal)]
    large += [Case("lenet", "adam", unequal)] * (ranks == 2)
    rules = list(OPTIMIZERS)[2:][ranks - 2 :: 2] if ranks in (2, 3) else []
    others = [Case("mlp", rule, unequal) for rule in rules]
    small = [Case("digits-cnn", o, s) for o in ("sgd", "momentum") for s in SHARES[ranks]]
    norms = [
        Case("skips", "momentum", unequal, 2, norm="batch"),
        Case("skips", "momentum", unequal, 2, norm="share", clip=0.5),
    ]
    return large + others + small + norms + PIPELINES[ranks]


PIPELINES: dict[int, list[Case]] = {
    1: [],
    2: [
        Case("resnet20", "momentum", (3, 1)),
        Case("resnet20", "adam", (1,), 2, stages=2),
        Case("skips", "momentum", (1,), 4, stages=2),
        Case("digits-cnn", "sgd", (1,), 5, stages=2, schedule="gpipe"),  # of 8 and of 3 samples: ragged, and empty
        Case("lenet", "momentum", (1,), 2, stages=2, schedule="naive"),
    ],
    3: [Case("skips", "momentum", (1,), 4, stages=3), Case("mlp", "momentum", (1,), 3, stages=3)],
    4: [
        Case("skips", "momentum", (1,), 4, stages=4, schedule="gpipe", clip=0.5),
        Case("skips", "momentum", (3, 1), 2, stages=2, clip=0.5),
        Case("skips", "sgd", (1, 0), 3, stages=2, norm="share"),
        Case("digits-cnn", "momentum", (1, 3), 2, stages=2, schedule="gpipe"),
    ],
}


@cache
def samples(model: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """19 samples: batches of 8, 8 and a ragged 3."""
    rng = np.random.default_rng(11)
    make, shape = EVERY[model]
    *positions, classes = make().out_shape(shape)
    x = rng.integers(0, classes, (19, *shape)) if model in TOKENS else rng.standard_normal((19, *shape)).astype(dtype)
    return x, rng.integers(0, classes, (19, *positions))


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
    shares, micro_batches, norm = split
    cut, parts = Partition.of(shares, len(shares)), Partition.of((1,) * micro_batches, micro_batches)
    each = [batch[slice(*cut.bounds(len(batch), rank))] for rank in range(len(shares))]
    rows = [[share[slice(*parts.bounds(len(share), i))] for i in range(micro_batches)] for share in each]
    found = (
        [part for row in rows for part in row]
        if norm == "share"
        else list(map(np.concatenate, zip(*rows, strict=True)))
    )
    return [part for part in found if len(part)]


@cache
def serial(
    model: str, optimizer: str, dtype: str = "float64", steps: int = STEPS, split: Split = WHOLE, clip: float = 0.0
) -> Trained:
    return descent(model, optimizer, dtype, [split] * steps, clip)


def descent(
    model: str, optimizer: str, dtype: str, splits: list[Split], clip: float = 0.0, backend: str = BACKEND
) -> Trained:
    """The definition: forward, loss, backward, update.   splits: how each step's batch goes through the network."""
    make, shape = EVERY[model]
    network, rule, fetch = make(), OPTIMIZERS[optimizer], fetching(model, dtype)
    copy = Replica(network, shape, dtype).initialise(SEED, backend)
    w, g = copy.weights, copy.gradients
    slots = {slot: w.like() for slot in rule.slots}
    losses, right = [], []
    for step, (batch, split) in enumerate(zip(batches(len(splits)), splits, strict=True)):
        rule.prepare(w, slots, step, backend)
        copy.clear()
        loss, hits, mass = 0.0, 0, fetch(batch)[1].size
        for part in pieces(batch, split):
            x, labels = fetch(part)
            ctx = Context(training=True, step=step, seed=SEED, samples=part.astype(np.int64), backend=backend)
            z, saved = network.forward(copy.p, x, ctx)
            one, hit, dz = CrossEntropy()(z, labels, 1 / mass, ctx)
            network.backward(copy.p, copy.g, saved, dz, ctx)
            loss, hits = loss + one, hits + hit
        copy.commit()
        if clip:
            g.flat[:] *= min(1.0, clip / (np.linalg.norm(g.flat) + 1e-6))
        rule.update(w, g, slots, step, backend)
        losses.append(loss / mass)
        right.append(hits)
    return Trained(np.concatenate([w.flat, copy.buffers.flat]), g.flat, losses, right)


def strategy(c: Communicator, case: Case, dtype: str = "float64", **settings: Any) -> Synchronous:
    make, shape = EVERY[case.model]
    model, rule, partition = make(), OPTIMIZERS[case.optimizer], Partition.of(case.shares, len(case.shares))
    known = {"shape": shape, "fetch": fetching(case.model, dtype), "seed": SEED, "dtype": dtype, "backend": BACKEND}
    known |= {"bucket_bytes": 1 << 16, "micro_batches": case.micro_batches, "norm": case.norm}
    known |= {"clip_norm": case.clip}
    if case.stages == 1:
        return DataParallel(model, rule, c, partition, **{**known, **settings})
    known |= {"bounds": cut([1.0] * len(model), case.stages).bounds, "schedule": case.schedule}
    return Pipeline(model, rule, c, partition, **{**known, **settings})


def whole(c: Communicator, case: Case, arenas: list[Arena], role: str) -> np.ndarray:
    """A tensor of the model after the other, from the first rank that holds it, as the serial loop lays them out."""
    make, shape = EVERY[case.model]
    arena = Arena(Layout(make().specs(shape), role), arenas[0].dtype)
    mine = {name: one[name] for one in arenas for name in one.layout.specs}
    held = c.allgather_obj(sorted(mine), "names")
    for spec in arena.layout.owned():
        root = next(rank for rank, names in enumerate(held) if spec.name in names)
        arena[spec.name][...] = mine.get(spec.name, 0)
        c.broadcast(arena[spec.name], root, spec.name)
    return arena.flat


def trained(c: Communicator, case: Case, dtype: str = "float64", steps: int = STEPS, **settings: Any) -> Trained:
    """The same training by a strategy."""
    trainer = strategy(c, case, dtype, **settings)
    reports = [report for batch in batches(steps) for report in trainer.feed(batch)]
    assert [(r.step, r.samples) for r in reports] == [(i, len(b)) for i, b in enumerate(batches(steps))]
    losses, right = [r.loss for r in reports], [r.right for r in reports]
    copy = trainer.replica
    weights = [whole(c, case, [copy.weights], "weight"), whole(c, case, [copy.buffers], "buffer")]
    return Trained(np.concatenate(weights), whole(c, case, [copy.gradients], "weight"), losses, right)


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
