"""Any ranks and any strategy continue from what any others saved: the same bits are loaded, and training goes on as serial does.

A chain is one training of 20 steps in float64 whose every leg is another job: other ranks, shares, stages, schedule. What a leg
loads is compared with the datasets in the files, as h5py alone reads them; where the chain ends, with a serial run uncut.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equals
import h5py
import numpy as np
import pytest
from equals import OPTIMIZERS, STEPS, Case

from shoal.checkpoint.store import Store
from shoal.mpi.communicator import Communicator
from shoal.mpi.synchronous import Synchronous
from shoal.mpi.threads import run

RANKS = [{"shares": (1, 1, 1, 1)}, {"shares": (3, 1)}, {"shares": (2, 0, 1)}]
STRATEGIES = [
    {"shares": (1, 1)},
    {"shares": (1,), "stages": 2, "micro_batches": 3},
    {"shares": (1, 3), "stages": 2, "micro_batches": 2, "schedule": "gpipe"},
    {"shares": (1,)},
    {"shares": (3, 1), "stages": 2, "micro_batches": 2},
    {"shares": (1,), "stages": 3, "micro_batches": 2, "schedule": "gpipe"},
    {"shares": (1, 2, 1)},
]
CHAINS = {"4-2-3 ranks": RANKS, "every strategy": STRATEGIES}
QUICK = [
    ("4-2-3 ranks", "digits-cnn", "momentum"),
    ("4-2-3 ranks", "lstm-lm", "nag"),
    ("every strategy", "skips", "adam"),  # a tie across stages, a long skip, running statistics, dropout
    ("every strategy", "gpt", "adamw"),  # attention; the first weight is the last; a rate that warms up and falls
    ("every strategy", "lstm-lm", "sutskever"),
    ("every strategy", "unet", "momentum"),
]
MODELS = ("digits-cnn", "skips", "gpt", "lstm-lm", "unet")
ROUNDING = (
    "gpt",
    "adagrad",
)  # attention's bias of keys has no gradient but rounding, which Adagrad divides by its own size
LONG = [(c, m, o) for c in CHAINS for m in MODELS for o in OPTIMIZERS if (m, o) != ROUNDING and (c, m, o) not in QUICK]
ALL = [*QUICK, *(pytest.param(*one, marks=pytest.mark.long) for one in LONG)]


def files(path: Path) -> dict[str, bytes]:
    """Every dataset of a generation."""
    found: dict[str, bytes] = {}
    for name in path.glob("rank-*.h5"):
        with h5py.File(name, locking=False) as file:
            datasets: list[str] = []
            file.visititems(lambda key, node: datasets.append(key) if isinstance(node, h5py.Dataset) else None)  # noqa: B023
            assert not found.keys() & set(datasets)  # stored once, whoever holds it
            found |= {key: file[key][...].tobytes() for key in datasets}
    return found


def leg(folder: Path, case: Case, batches: list[np.ndarray], first: bool, spoil: Any = None) -> equals.Trained:
    """One job of a chain: loads, feeds these batches, saves."""

    def program(c: Communicator) -> tuple[set[str], Path | None, equals.Trained]:
        trainer, source, held = equals.strategy(c, case, backend="reference"), None, {}
        with Store(folder, c) as store:
            if not first:
                generation = store.newest()
                assert generation is not None
                trainer.load_state(generation.read, generation.meta)
                generation.close()
                source = generation.path
                held = {name: array.tobytes() for name, (_, array) in trainer.state().tensors.items()}
                stored = files(source)
                assert held == {name: stored[name] for name in held}
            if spoil:
                spoil(trainer)
            reports = [report for batch in batches for report in trainer.feed(batch)]
            copy = trainer.replica
            arenas = [equals.whole(c, case, [copy.weights], "weight"), equals.whole(c, case, [copy.buffers], "buffer")]
            store.save(trainer.state())
        losses, right = [r.loss for r in reports], [r.right for r in reports]
        return set(held), source, equals.Trained(np.concatenate(arenas), copy.gradients.flat, losses, right)

    results = run(case.ranks, program, deadline=60, backend="reference")
    if source := results[0][1]:  # nothing that was saved is left behind
        assert set().union(*(held for held, *_ in results)) == set(files(source))
    return results[0][2]


def steps(number: int, legs: int) -> slice:
    """Those of a chain's steps that a leg does."""
    return slice(round(STEPS * number / legs), round(STEPS * (number + 1) / legs))


def chain(folder: Path, cases: list[Case], spoil: Any = None) -> equals.Trained:
    """spoil: what is done to each trainer that has loaded."""
    batches, losses, right = equals.batches(STEPS), [], []
    for number, case in enumerate(cases):
        found = leg(folder, case, batches[steps(number, len(cases))], not number, spoil if number else None)
        losses += found.losses
        right += found.right
    return equals.Trained(found.weights, found.gradients, losses, right)


def serial(cases: list[Case]) -> equals.Trained:
    """The run uncut, on one rank, that shows normalisation the same samples at once as each leg does."""
    splits = [case.split for number, case in enumerate(cases) for _ in range(STEPS)[steps(number, len(cases))]]
    return equals.descent(cases[0].model, cases[0].optimizer, "float64", splits, backend="reference")


@pytest.mark.parametrize(("name", "model", "optimizer"), ALL)
def test_a_chain_of_jobs_is_one_training(tmp_path: Path, name: str, model: str, optimizer: str) -> None:
    cases = [Case(model, optimizer, **settings) for settings in CHAINS[name]]  # type: ignore[arg-type]
    found, expected = chain(tmp_path, cases), serial(cases)
    assert equals.difference(found.weights, expected.weights) <= 1e-10
    assert np.allclose(found.losses, expected.losses, rtol=1e-10)
    assert found.right == expected.right


def slots(trainer: Synchronous) -> None:
    for slot in trainer.slots.values():
        slot.flat[:] = 0


def buffers(trainer: Synchronous) -> None:
    trainer.replica.buffers.initialise(equals.SEED, "reference")


def step(trainer: Synchronous) -> None:
    trainer.step -= 1


@pytest.mark.parametrize("lost", [slots, buffers, step])
def test_a_chain_that_loses_something_is_another_training(tmp_path: Path, lost: Any) -> None:
    cases = [Case("skips", "momentum", **settings) for settings in RANKS]  # type: ignore[arg-type]
    assert equals.difference(chain(tmp_path, cases, lost).weights, serial(cases).weights) > 1e-4
