"""State is arenas only: a run that is saved and loaded in the middle goes on to the same bits."""

import numpy as np
import pytest
from descent import EVERY

from shoal.core.partition import Partition
from shoal.mpi.alone import Alone
from shoal.mpi.data_parallel import DataParallel
from shoal.nn import Flatten, Linear, Sequential
from shoal.optim import Cosine, Optimizer, QHAdam, Warmup

X = np.random.default_rng(0).standard_normal((12, 4, 4, 1)).astype(np.float32)
LABELS = np.arange(12) % 3
BATCHES = [np.arange(12).reshape(3, 4)[step % 3] for step in range(8)]


def strategy(optimizer: Optimizer) -> DataParallel:
    model = Sequential(Flatten(), Linear(8, activation="relu"), Linear(3))
    return DataParallel(
        model, optimizer, Alone(), Partition.of((), 1), shape=(4, 4, 1), fetch=lambda i: (X[i], LABELS[i]), seed=1
    )


def trained(optimizer: Optimizer, cut: int, forget: tuple[str, ...] = ()) -> bytes:
    """The state after all batches, moved to another strategy after `cut` of them; tensors under `forget` stay behind."""
    first, second = strategy(optimizer), strategy(optimizer)
    for batch in BATCHES[:cut]:
        first.feed(batch)
    state = first.state()
    saved = {name: array.copy() for name, (_, array) in state.tensors.items()}

    def read(name, spec):
        return np.zeros_like(saved[name]) if name.startswith(forget or "-") else saved[name]

    second.load_state(read, state.meta)
    for batch in BATCHES[cut:]:
        second.feed(batch)
    return b"".join(array.tobytes() for _, array in second.state().tensors.values())


@pytest.mark.parametrize("name", EVERY)
def test_a_cut_run_ends_in_the_same_bits(name) -> None:
    assert trained(EVERY[name], 4) == trained(EVERY[name], 0)


def test_schedules_go_on_where_they_were() -> None:
    rule = QHAdam(Warmup(Cosine(0.1, steps=6), 2), nus=(0.7, 1.0))
    assert trained(rule, 3) == trained(rule, 0) != trained(QHAdam(0.1, nus=(0.7, 1.0)), 0)


@pytest.mark.parametrize("name", EVERY)
def test_every_slot_that_is_kept_is_missed_and_no_other_is_kept(name) -> None:
    """Exact Nesterov's copy of the weights is rewritten by each step, and AggMo's velocity of beta 0 forgets at once: both lay
    in every checkpoint, and nobody read them.
    """
    rule = EVERY[name]
    assert set(rule.slots) - set(rule.kept) == {"nag": {"exact"}, "aggmo": {"velocity0"}}.get(name, set())
    assert {key.split("/")[1] for key in strategy(rule).state().tensors if key.startswith("optimizer/")} == set(
        rule.kept
    )
    for slot in rule.kept:
        assert trained(rule, 4, forget=(f"optimizer/{slot}/",)) != trained(rule, 0)
