"""What a checkpoint holds is enough to continue to the bit, and nothing of it can be left out."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.core.partition import Partition
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.data_parallel import DataParallel
from shoal.mpi.threads import run
from shoal.nn.models import build
from shoal.optim.sgd import SGD

SHAPE, CLASSES, BATCH, STEPS = (8, 8, 1), 10, 6, 4
RNG = np.random.default_rng(0)
X, LABELS = RNG.random((BATCH * STEPS, *SHAPE), np.float32), RNG.integers(0, CLASSES, BATCH * STEPS)


def strategy(communicator, momentum=0.9):
    """digits-cnn has dropout, so the position in the random stream is part of what must continue."""
    return DataParallel(
        build("digits-cnn", SHAPE, CLASSES),
        SGD(lr=0.1, momentum=momentum),
        communicator,
        Partition.of([], communicator.size),
        shape=SHAPE,
        fetch=lambda samples: (X[samples], LABELS[samples]),
        seed=1,
        backend="reference",
    )


def train(replica, start, stop):
    reports = [replica.feed(np.arange(step * BATCH, (step + 1) * BATCH)) for step in range(start, stop)]
    return [report for some in reports for report in some]


def bits(state):
    return {name: array.tobytes() for name, (_, array) in state.tensors.items()}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_run_that_is_cut_and_resumed_makes_the_same_bits(tmp_path, ranks):
    def straight(communicator):
        replica = strategy(communicator)
        return train(replica, 0, STEPS), bits(replica.state())

    def first(communicator):
        replica = strategy(communicator)
        with Store(tmp_path, communicator) as store:
            reports = train(replica, 0, 2)
            store.save(replica.state())
        return reports

    def second(communicator):
        replica = strategy(communicator)
        with Store(tmp_path, communicator) as store:
            generation = store.newest()
            replica.load_state(generation.read, generation.meta)
            generation.close()
        return train(replica, 2, STEPS), bits(replica.state())

    whole, halves, ends = run(ranks, straight), run(ranks, first), run(ranks, second)
    for (reports, weights), before, (after, resumed) in zip(whole, halves, ends, strict=True):
        assert before + after == reports
        assert resumed == weights


def items():
    state = strategy(Alone()).state()
    return [*state.tensors, *state.meta]


@pytest.mark.parametrize("item", items())
def test_without_one_item_loading_fails_by_its_name(tmp_path, item):
    replica = strategy(Alone())
    state = replica.state()
    kept = {name: tensor for name, tensor in state.tensors.items() if name != item}
    with Store(tmp_path, Alone()) as store:
        if item == "step":
            with pytest.raises(CheckpointError, match="needs its step"):
                store.save(State(kept, {}))
        else:
            store.save(State(kept, state.meta))
            generation = store.newest()
            with pytest.raises(CheckpointError, match=f"holds no tensor '{item}'"):
                replica.load_state(generation.read, generation.meta)


def test_a_missing_fact_is_an_error_by_its_name(tmp_path, saved):
    saved(tmp_path, 10)
    with Store(tmp_path, Alone()) as store:
        meta = store.newest().meta
    assert meta["loss"] == 0.1 + 0.2 and meta.get("fed") is None
    with pytest.raises(CheckpointError, match="lacks the fact 'fed'"):
        meta["fed"]


def test_another_model_is_refused_with_both_shapes_on_every_rank(tmp_path, saved):
    saved(tmp_path, 10)

    def program(communicator):
        with Store(tmp_path, communicator) as store:
            generation = store.newest()
            with pytest.raises(CheckpointError, match=r"model/0.bias is \(6,\) in .*, the model has \(8,\)"):
                generation.read("model/0.bias", Spec("0.bias", (8,)))

    run(2, program)


def test_a_run_saved_without_momentum_says_that_the_optimizer_differs(tmp_path):
    with Store(tmp_path, Alone()) as store:
        store.save(strategy(Alone(), momentum=0.0).state())
        generation = store.newest()
        with pytest.raises(CheckpointError, match=r"holds no tensor 'optimizer/velocity/0\.weight'") as error:
            strategy(Alone()).load_state(generation.read, generation.meta)
        assert (
            "other optimizer settings: give those, first of all the same optim.name and optim.momentum"
            in error.value.cure
        )


def test_a_tensor_that_only_the_model_lacks_is_not_blamed_on_the_optimizer(tmp_path):
    with Store(tmp_path, Alone()) as store:
        store.save(strategy(Alone()).state())
        for name in ("model/9.weight", "optimizer/velocity/9.weight"):
            with pytest.raises(CheckpointError, match="load it into the model that was saved"):
                store.newest().read(name, Spec("9.weight", (1,)))
