"""A save that cannot be done: the same error on every rank, no debris, and what was there before as it was."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections import namedtuple

import numpy as np
import pytest

from shoal.checkpoint import commit
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError, exit_code
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


def refused(ranks, program):
    """The one error that every rank raised."""

    def body(communicator):
        with pytest.raises(CheckpointError) as error:
            program(communicator)
        assert exit_code(error.value) == 5
        return str(error.value)

    told = run(ranks, body)
    assert told == [told[0]] * ranks
    return told[0]


@pytest.mark.parametrize("place", ["a file in its place", "a file above it", "a file system that takes no folders"])
def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path, place):
    (tmp_path / "file").write_text("")
    folder = {
        "a file in its place": tmp_path / "file",
        "a file above it": tmp_path / "file" / "run",
        "a file system that takes no folders": "/proc/shoal/run",
    }[place]
    told = refused(2, lambda communicator: Store(folder, communicator))
    assert told.startswith(f"rank 0: {folder} cannot be written: ")
    assert "cure: " in told


BEFORE_COMMIT = ["rank-0001.h5.tmp filled", "rank-0001.h5.tmp flushed"]
BEFORE_COMMIT += [f"rank-0001.h5 {done}" for done in ("written", "synced", "renamed", "durable", "hashed")]
BEFORE_COMMIT += ["rank-0000.h5 synced", "rank-0000.h5 hashed", "manifest.json written", "manifest.json synced"]


@pytest.mark.parametrize("name", BEFORE_COMMIT)
def test_failing_on_one_rank_it_fails_on_all_and_nothing_changes(
    tmp_path, make_state, is_same, saved, contents, monkeypatch, name
):
    saved(tmp_path, 10, 20)
    before = contents(tmp_path)

    def fail(passed):
        if passed == name:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def program(communicator):
        state = make_state(30)
        mine = dict(list(state.tensors.items())[communicator.rank :: 2])
        with Store(tmp_path, communicator, keep=1) as store:
            store.save(State(mine, state.meta))

    monkeypatch.setattr(commit, "boundary", fail)
    told = refused(2, program)
    assert "Disk quota exceeded" in told
    assert told.startswith("rank 1: " if "0001" in name else "rank 0: ")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["manifest.json renamed", "manifest.json durable", "latest written", "latest renamed"])
def test_failing_after_the_commit_the_new_generation_stands(tmp_path, make_state, is_same, saved, monkeypatch, name):
    saved(tmp_path, 10)

    def fail(passed):
        if passed == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Store(tmp_path, Alone()) as store:
        monkeypatch.setattr(commit, "boundary", fail)
        with pytest.raises(CheckpointError, match="Input/output error"):
            store.save(make_state(20))
        monkeypatch.undo()
        assert not list(tmp_path.rglob("*.tmp"))
        assert is_same(store.newest(), make_state(20))


def test_too_little_space_is_told_in_bytes_before_any_is_used(tmp_path, make_state, saved, contents, monkeypatch):
    saved(tmp_path, 10)
    before = contents(tmp_path)
    usage = namedtuple("usage", "total used free")
    with Store(tmp_path, Alone()) as store:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 5000, 5000))
        monkeypatch.setattr(commit, "publish", lambda *_: pytest.fail("it wrote"))
        with pytest.raises(CheckpointError) as error:
            store.save(make_state(20))
    told = str(error.value)
    need = (64 << 10) + (30 + 6 + 30 + 1 + 0) * 4  # what HDF5 adds, and the tensors
    assert f"No space left on device; it needs {need:,} bytes, 5,000 were free" in told
    assert "cure: free space there or give a folder that can be written; earlier generations are untouched" in told
    assert contents(tmp_path) == before


def test_a_limit_met_while_hdf5_writes_is_survived(tmp_path, make_state, is_same, saved):
    """The real thing, in a process of its own: the system refuses bytes, and the next save goes through."""
    saved(tmp_path, 10)
    large = State({"model/w": (Spec("w", (1 << 20,)), np.ones(1 << 20))}, {"step": 20})

    def program():
        with Store(tmp_path, Alone()) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
            with pytest.raises(CheckpointError, match=r"File too large.*it needs 8,454,144 bytes"):
                store.save(large)
            assert [path.name for path in (tmp_path / "generations").iterdir()] == ["step-00000010"]
            store.save(make_state(30))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            store.save(large)
            assert is_same(store.newest(), large)

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            program()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_file_that_vanishes_before_the_commit_is_missed(tmp_path, make_state, monkeypatch):
    """What rank 0 cannot see, it does not vouch for."""

    def vanish(name):
        if name == "rank-0001.h5 hashed":
            (tmp_path / "generations/step-00000030/rank-0001.h5").unlink()

    def program(communicator):
        state = make_state(30)
        with Store(tmp_path, communicator) as store:
            store.save(State(dict(list(state.tensors.items())[communicator.rank :: 2]), state.meta))

    monkeypatch.setattr(commit, "boundary", vanish)
    told = refused(2, program)
    assert "rank-0001.h5 is missing" in told and "see who else removes files there" in told
