"""A save in the background: training goes on and changes what it likes, and on disk is what was begun, or nothing."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from killed import killed_at

from shoal.checkpoint import commit, shard
from shoal.checkpoint.history import generations, open_generation
from shoal.checkpoint.store import Store
from shoal.checkpoint.writer import Writer
from shoal.core.errors import CheckpointError
from shoal.core.spec import State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run

PATIENCE = 30.0  # seconds until a test that would hang fails


def names(folder):
    return sorted(path.name for path in generations(folder))


def part(state, communicator):
    """Every rank holds other tensors, and facts of its own."""
    return State(dict(list(state.tensors.items())[communicator.rank :: communicator.size]), dict(state.meta))


def train(state):
    """What a step does to the arrays, to the last bit, and to a fact."""
    for _, array in state.tensors.values():
        array.fill(-1)
    state.meta["loss"] = -1.0


@contextmanager
def held_back(monkeypatch):
    """Writer threads start to write once the event is set, or the context ends."""
    go, write = threading.Event(), shard.write

    def waiting(*about):
        assert go.wait(PATIENCE)
        return write(*about)

    with monkeypatch.context() as patch:
        patch.setattr(shard, "write", waiting)
        try:
            yield go
        finally:
            go.set()


def failing_at(name):
    """A boundary where rank 1's disk is full."""

    def fail(passed):
        if passed == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fail


def overwritten_while_written(folder, state, monkeypatch, ranks=1):
    """The last generation, where training changed the state between the begin and the first byte."""

    def program(communicator):
        mine = part(state, communicator)
        with Store(folder, communicator) as store:
            store.begin(mine)
            train(mine)
            begun.wait()
            assert store.writing or not mine.tensors
            go.set()
            return store.finish()

    begun = threading.Barrier(ranks)
    with held_back(monkeypatch) as go:
        return run(ranks, program)[0]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_on_disk_are_the_bits_and_facts_of_begin(tmp_path, make_state, is_same, monkeypatch, ranks):
    path = overwritten_while_written(tmp_path, make_state(10), monkeypatch, ranks)
    assert path == tmp_path / "generations" / "step-00000010"
    assert is_same(open_generation(path), make_state(10))


def test_without_the_copy_they_are_not(tmp_path, make_state, is_same, monkeypatch):
    """The test above can fail."""
    monkeypatch.setattr(Writer, "_hold", lambda self, part, arrays: setattr(self, "_held", arrays))
    path = overwritten_while_written(tmp_path, make_state(10), monkeypatch)
    assert open_generation(path).read("model/0.bias", make_state(10).tensors["model/0.bias"][0]).tolist() == [-1] * 6


def test_the_copy_of_one_save_is_not_that_of_the_next(tmp_path, make_state, is_same, monkeypatch):
    """It is the same memory, so a save must have been written before its successor is copied."""
    with Store(tmp_path, Alone()) as store, held_back(monkeypatch) as go:
        store.begin(make_state(10))
        threading.Timer(0.1, go.set).start()
        store.begin(make_state(20))
        assert names(tmp_path) == ["step-00000010"]  # which the second begin has finished
        store.begin(make_state(30, "float64"))  # of other dtypes
        store.finish()
    for path, state in zip(sorted(generations(tmp_path)), [make_state(20), make_state(30, "float64")], strict=True):
        assert is_same(open_generation(path), state)


def test_a_blocking_save_copies_nothing(tmp_path, make_state, monkeypatch):
    monkeypatch.setattr(Writer, "_hold", lambda *_: pytest.fail("it copied"))
    with Store(tmp_path, Alone()) as store:
        store.save(make_state(10))
        with pytest.raises(pytest.fail.Exception, match="it copied"):
            store.begin(make_state(20))


def test_finish_says_where_and_then_that_there_is_nothing(tmp_path, make_state):
    with Store(tmp_path, Alone()) as store:
        assert store.finish() is None and not store.writing
        store.begin(make_state(10), ("accuracy", 0.5))
        assert names(tmp_path) == []  # written or not, only finish commits
        assert store.finish() == tmp_path / "generations" / "step-00000010"
        assert store.finish() is None and not store.writing
        store.begin(make_state(20))
        assert store.save(make_state(30)).name == "step-00000030"
        assert names(tmp_path) == ["step-00000010", "step-00000020", "step-00000030"]  # 10 has the most merit


def test_the_cost_is_what_training_waited(tmp_path, make_state, monkeypatch):
    """Counted by a clock that goes on a second at each look: two looks for each wait, and what lies between is free."""
    ticks = iter(range(99))
    monkeypatch.setattr("shoal.checkpoint.store.time.perf_counter", lambda: float(next(ticks)))
    with Store(tmp_path, Alone()) as store:
        assert store.cost == 0
        store.begin(make_state(10))
        [next(ticks) for _ in range(50)]  # training
        assert store.cost == 0
        store.finish()
        assert store.cost == 2
        store.begin(make_state(20))
        store.save(make_state(30))
        assert store.cost == 2  # what it cost to finish 20 is no cost of 30


def test_newest_is_the_last_committed_while_another_is_written(tmp_path, make_state, is_same, monkeypatch):
    with Store(tmp_path, Alone()) as store:
        store.save(make_state(10))
        with held_back(monkeypatch):
            store.begin(make_state(20))
            assert is_same(store.newest(), make_state(10))
        store.finish()
        assert is_same(store.newest(), make_state(20))


# ---------------------------------------------------------------------------------------------------- what goes wrong

IN_THE_THREAD = ["rank-0001.h5.tmp filled", "rank-0001.h5.tmp flushed"]
IN_THE_THREAD += [f"rank-0001.h5 {done}" for done in ("written", "synced", "renamed", "durable", "hashed")]


@pytest.mark.parametrize("finish", ["finish", "the next begin", "the next save"])
@pytest.mark.parametrize("name", IN_THE_THREAD[::3])
def test_an_error_of_one_thread_is_that_of_the_next_finish_on_all_ranks(
    tmp_path, make_state, saved, contents, monkeypatch, name, finish
):
    saved(tmp_path, 10, 20)
    before = contents(tmp_path)

    def program(communicator):
        with Store(tmp_path, communicator, keep=1) as store:
            store.begin(part(make_state(30), communicator))
            with pytest.raises(CheckpointError) as error:
                if finish == "finish":
                    store.finish()
                else:
                    (store.save if finish == "the next save" else store.begin)(part(make_state(40), communicator))
            assert store.finish() is None
            communicator.barrier("looked")
            if communicator.rank == 0:
                assert {name: data for name, data in contents(tmp_path).items() if name != "lease.json"} == before
            communicator.barrier("looked")
            monkeypatch.undo()
            return str(error.value), store.save(part(make_state(50), communicator)).name

    monkeypatch.setattr(commit, "boundary", failing_at(name))
    (first, path), (second, _) = run(2, program)
    assert first == second and first.startswith("rank 1: ") and "No space left on device" in first
    assert path == "step-00000050" and names(tmp_path) == [path]


def test_a_rank_without_memory_for_the_copy_is_every_ranks_error(tmp_path, make_state, monkeypatch):
    def no_room(self, one):
        if self.communicator.rank == 1:
            raise MemoryError("Unable to allocate 1 GiB")
        return np.empty(one.shape, one.dtype)

    def program(communicator):
        with Store(tmp_path, communicator) as store, pytest.raises(CheckpointError, match=r"rank 1: .*allocate 1 GiB"):
            store.begin(part(make_state(30), communicator))

    monkeypatch.setattr(Writer, "_room", no_room)
    run(2, program)
    assert list((tmp_path / "generations").iterdir()) == []


def test_a_lease_lost_while_training_went_on_forbids_the_commit(tmp_path, make_state, contents):
    with Store(tmp_path, Alone()) as store:
        store.begin(make_state(10))
        (tmp_path / "lease.json").write_text('{"host": "elsewhere", "pid": 99, "start": 0, "token": "another"}')
        with pytest.raises(CheckpointError, match="taken over by another job: process 99 on elsewhere"):
            store.finish()
    assert set(contents(tmp_path)) == {"lease.json", "generations/step-00000010/rank-0000.h5"}


def test_the_lease_is_held_until_the_thread_has_ended(tmp_path, make_state, is_same, saved, monkeypatch):
    """Else the next job could take the folder while this one still writes into it."""
    saved(tmp_path, 10)
    closing, leases = threading.Event(), []

    def watch(name):
        if name == "rank-0000.h5 synced":
            assert closing.wait(PATIENCE)
        if name == "rank-0000.h5 hashed":
            leases.append((tmp_path / "lease.json").exists())

    with Store(tmp_path, Alone()) as store:
        monkeypatch.setattr(commit, "boundary", watch)
        store.begin(make_state(20))
        closing.set()
    assert leases == [True] and not store.writing and not (tmp_path / "lease.json").exists()
    assert names(tmp_path) == ["step-00000010"]  # nobody finished 20
    monkeypatch.undo()
    with Store(tmp_path, Alone()) as store:
        assert [path.name for path in (tmp_path / "generations").iterdir()] == ["step-00000010"]  # and it is swept
        assert is_same(store.newest(), make_state(10))


BEFORE_FINISH = [*IN_THE_THREAD, "rank-0000.h5 renamed", "trained"]


@pytest.mark.parametrize("name", BEFORE_FINISH)
def test_killed_while_a_thread_writes_the_earlier_generations_stand(tmp_path, make_state, is_same, saved, name):
    saved(tmp_path, 10, 20)

    def program(communicator):
        state = part(make_state(30), communicator)
        with Store(tmp_path, communicator, keep=1) as store:
            store.begin(state)
            train(state)
            store._writer.result()  # as long as training may take
            communicator.barrier("trained")
            commit.boundary("trained")

    assert killed_at(name, lambda: run(2, program))
    assert is_same(open_generation(tmp_path), make_state(20))  # by a reader, while the debris lies there
    with Store(tmp_path, Alone(), keep=2) as store:
        assert is_same(store.newest(), make_state(20))
        assert sorted(path.name for path in (tmp_path / "generations").iterdir()) == ["step-00000010", "step-00000020"]
        store.begin(make_state(30))
        store.finish()
    assert is_same(open_generation(tmp_path), make_state(30))
