"""What a store promises while nothing goes wrong."""

from __future__ import annotations

import json
import time

import h5py
import numpy as np
import pytest

from shoal.checkpoint import slices
from shoal.checkpoint.generation import verify
from shoal.checkpoint.history import generations, open_generation
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError, UsageError
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


def names(folder):
    return [path.name for path in generations(folder)]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
def test_what_was_saved_is_loaded_to_the_bit_on_every_rank(tmp_path, make_state, is_same, ranks, dtype, monkeypatch):
    monkeypatch.setattr(slices, "PIECE", 64)  # tensors of 120 bytes take two writes and two messages
    state = make_state(7, "float32")
    if dtype == "int64":
        state = State({"model/0.weight": (Spec("0.weight", (2, 3)), np.arange(6).reshape(2, 3))}, {"step": 7})
    elif dtype != "float32":
        state = make_state(7, dtype)

    def program(communicator):
        with Store(tmp_path, communicator) as store:
            path = store.save(state)
            generation = store.newest()
            assert generation.path == path == tmp_path / "generations" / "step-00000007"
            return is_same(generation, state)

    assert run(ranks, program) == [True] * ranks


def test_one_process_alone_reads_what_many_ranks_wrote(tmp_path, make_state, is_same):
    def program(communicator):
        with Store(tmp_path, communicator) as store:
            return store.save(make_state(7))

    path = run(3, program)[0]
    assert verify(path) == []
    assert is_same(open_generation(path), make_state(7))
    assert is_same(open_generation(tmp_path), make_state(7))


def test_a_difference_of_one_bit_would_be_seen(tmp_path, make_state, is_same, saved):
    saved(tmp_path, 7)
    other = make_state(7)
    other.tensors["model/0.bias"][1].view(np.uint32)[3] ^= 1
    assert not is_same(open_generation(tmp_path), other)


def test_nothing_saved_is_none_and_offline_an_error(tmp_path):
    with Store(tmp_path / "new", Alone()) as store:
        assert store.newest() is None
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        open_generation(tmp_path / "new")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        open_generation(tmp_path / "never made")


def test_replicas_write_once_and_rank_0_does_it(tmp_path, make_state, contents):
    def program(communicator):
        with Store(tmp_path, communicator) as store:
            store.save(make_state(7))

    run(3, program)
    assert sorted(contents(tmp_path)) == [
        "generations/step-00000007/manifest.json",
        "generations/step-00000007/rank-0000.h5",
        "latest",
    ]


def test_the_last_k_are_kept_and_latest_names_the_last(tmp_path, make_state, is_same):
    with Store(tmp_path, Alone(), keep=2) as store:
        for step in (10, 20, 30, 40):
            store.save(make_state(step))
            assert (tmp_path / "latest").read_text() == f"step-{step:08d}\n"
            assert is_same(store.newest(), make_state(step))
    assert names(tmp_path) == ["step-00000040", "step-00000030"]


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="keeps 0 generations"):
        Store(tmp_path, Alone(), keep=0)


def test_a_step_can_be_saved_again(tmp_path, make_state, is_same, contents):
    with Store(tmp_path, Alone(), keep=2) as store:
        store.save(make_state(10))
        for version in range(3):
            store.save(make_state(20, version=version))
            assert is_same(store.newest(), make_state(20, version=version))
        assert names(tmp_path) == ["step-00000020", "step-00000010"]
    assert len(contents(tmp_path)) == 5  # two files each, and latest: the versions before are gone


def test_a_lower_step_saved_later_is_the_newest(tmp_path, make_state, is_same):
    """After a fall back, steps repeat: what was committed last counts, not the highest number."""
    with Store(tmp_path, Alone()) as store:
        for step in (10, 30, 20):
            store.save(make_state(step))
        assert is_same(store.newest(), make_state(20))
        assert names(tmp_path) == ["step-00000030", "step-00000020"]


def test_equal_states_make_equal_bytes_at_any_time(tmp_path, make_state):
    with Store(tmp_path, Alone()) as store:
        first = (store.save(make_state(10)) / "rank-0000.h5").read_bytes()
    time.sleep(1.1)  # HDF5 times are whole seconds
    with Store(tmp_path, Alone()) as store:
        second = (store.save(make_state(10)) / "rank-0000-2.h5").read_bytes()
        other = (store.save(make_state(10, version=1)) / "rank-0000.h5").read_bytes()
    assert first == second != other


def test_a_person_can_read_the_file(tmp_path, make_state, saved):
    state, (path,) = make_state(7), saved(tmp_path, 7)
    with h5py.File(path / "rank-0000.h5") as file:
        about = {"format": "shoal generation", "version": 1, "generation": "step-00000007", "step": 7, "rank": 0}
        assert {**dict(file.attrs), **about} == dict(file.attrs) and "docs/checkpoints.md" in file.attrs["about"]
        assert sorted(file) == ["model", "none", "optimizer", "scale"]
        weight = file["model/0.weight"]
        assert weight[...].tobytes() == state.tensors["model/0.weight"][1].tobytes()
        assert (weight.attrs["dtype"], weight.compression, weight.chunks) == ("float32", None, None)
        assert (list(weight.attrs["origin"]), list(weight.attrs["global_shape"])) == ([0, 0], [6, 5])
        assert file["scale"].shape == () and list(file["scale"].attrs["origin"]) == []
    facts = json.loads((path / "manifest.json").read_text())
    assert (facts["step"], facts["ranks"], facts["meta"]) == (7, 1, state.meta)
    assert facts["files"][0]["tensors"][0] == ["model/0.weight", "float32", [6, 5], [0, 0], [6, 5]]


def test_two_folders_at_once(tmp_path, make_state, is_same):
    with Store(tmp_path / "a", Alone()) as a, Store(tmp_path / "b", Alone()) as b:
        a.save(make_state(10))
        b.save(make_state(20))
        assert is_same(a.newest(), make_state(10)) and is_same(b.newest(), make_state(20))


def test_ranks_may_wish_for_different_things_in_one_read(tmp_path, make_state):
    """A pipeline's ranks hold different blocks; the calls are matched by their order."""
    weight, bias = (make_state(7).tensors[f"model/0.{leaf}"][1] for leaf in ("weight", "bias"))

    def program(communicator):
        with Store(tmp_path, communicator) as store:
            store.save(make_state(7))
            generation = store.newest()
            if communicator.rank == 0:
                return generation.read("model/0.bias", Spec("0.bias", (6,)))
            start = 2 * communicator.rank
            return generation.read("model/0.weight", Spec("0.weight", (2, 5), origin=(start, 0), global_shape=(6, 5)))

    read = run(3, program)
    assert [r.tobytes() for r in read] == [bias.tobytes(), weight[2:4].tobytes(), weight[4:].tobytes()]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "needs its step"),
        ({"step": 1, "seen": {3, 4}}, "what json can hold"),
        ({"step": 1, "scale": np.float32(2)}, "what json can hold"),
        ({"step": 1, "clocks": [{"of": {0: 5}}]}, "the key 0, which json would make a text"),
    ],
)
def test_facts_that_json_would_change_are_refused(tmp_path, facts, says):
    with Store(tmp_path, Alone()) as store, pytest.raises(CheckpointError, match=says):
        store.save(State({}, facts))


def test_ranks_at_different_steps_cannot_save(tmp_path, make_state):
    def program(communicator):
        with Store(tmp_path, communicator) as store, pytest.raises(CheckpointError, match=r"steps: \[10, 11\]"):
            store.save(make_state(10 + communicator.rank))

    run(2, program)
    assert names(tmp_path) == []


def test_waiting_for_a_disk_is_no_stall(tmp_path, make_state, is_same, monkeypatch, capfd):
    """The deadline is for communication: ranks wait longer for rank 0's disk, and no longer for anything after it."""
    from shoal.checkpoint import commit

    monkeypatch.setattr(commit, "boundary", lambda name: time.sleep(0.3) if name.endswith("synced") else None)

    def program(communicator):
        with Store(tmp_path, communicator) as store:
            store.save(make_state(7))
            return is_same(store.newest(), make_state(7)), communicator.patience

    assert run(2, program, deadline=0.2) == [(True, 0.0)] * 2
    said = capfd.readouterr().err  # but it is no secret either
    assert "s in allgather 'checkpoint write' at step 0 for rank 0; it goes on until 600 s" in said
