"""A killed save: the job is ended by SIGKILL between any two steps of the protocol, and nothing is lost or torn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from killed import killed_at

from shoal.checkpoint import commit
from shoal.checkpoint.history import open_generation
from shoal.checkpoint.store import Store
from shoal.core.spec import State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run

TAKE_OVER = ["lease.json inherited", "lease.json renamed"]
FILLED = ["rank-0000.h5.tmp filled", "rank-0000.h5.tmp flushed"]
FILE = [*FILLED, *(f"rank-0000.h5 {done}" for done in ("written", "synced", "renamed", "durable", "hashed"))]
MANIFEST = [f"manifest.json {done}" for done in ("written", "synced", "renamed", "durable")]
LATEST = [f"latest {done}" for done in ("written", "synced", "renamed", "durable")]
PRUNED = ["step-00000010 disowned", "step-00000010 removed"]
PROTOCOL = TAKE_OVER + FILE + MANIFEST + LATEST + PRUNED
COMMITTED = PROTOCOL[PROTOCOL.index("manifest.json renamed") :]
SECOND_RANK = [name.replace("0000", "0001") for name in FILE]


def save(folder, state, ranks=1):
    """Saves as a job whose ranks hold different tensors does, keeping two generations."""

    def program(communicator):
        mine = dict(list(state.tensors.items())[communicator.rank :: communicator.size])
        Store(folder, communicator, keep=2).save(State(mine, state.meta))

    run(ranks, program)


def leave_dead_lease(folder):
    """What is there when a job was killed between two saves."""
    assert killed_at("end", lambda: [Store(folder, Alone()), commit.boundary("end")])


def survivors(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_the_protocol_is_this(tmp_path, make_state, saved, monkeypatch):
    saved(tmp_path, 10, 20)
    leave_dead_lease(tmp_path)
    passed = []
    monkeypatch.setattr(commit, "boundary", passed.append)
    with Store(tmp_path, Alone(), keep=2) as store:
        store.save(make_state(30))
    assert passed == PROTOCOL


@pytest.mark.parametrize(("ranks", "name"), [*((1, name) for name in PROTOCOL), *((2, n) for n in FILE + SECOND_RANK)])
def test_killed_at_a_boundary_the_newest_complete_generation_is_found(
    tmp_path, make_state, is_same, saved, ranks, name
):
    saved(tmp_path, 10, 20)
    leave_dead_lease(tmp_path)
    assert killed_at(name, lambda: save(tmp_path, make_state(30), ranks))

    newest, rejected = make_state(30 if name in COMMITTED else 20), []
    assert is_same(open_generation(tmp_path), newest)  # by a reader, while the debris lies there
    with Store(tmp_path, Alone(), keep=2, reject=lambda path, problem: rejected.append(problem)) as store:
        assert is_same(store.newest(), newest)
        assert rejected == []  # a torn generation is not even seen
        assert {"manifest.json", "rank-0000.h5", "latest", "lease.json"} >= survivors(tmp_path) - {"latest.tmp"}
        store.save(make_state(30))
        assert is_same(store.newest(), make_state(30))
    assert len(list((tmp_path / "generations").iterdir())) == 2
    assert (tmp_path / "latest").read_text() == "step-00000030\n"


@pytest.mark.parametrize("name", [name.replace("0000", "0000-2") for name in FILE] + MANIFEST)
def test_killed_while_a_step_is_saved_again_one_version_is_complete(tmp_path, make_state, is_same, saved, name):
    saved(tmp_path, 10, 20)
    assert killed_at(name, lambda: save(tmp_path, make_state(20, version=1)))
    assert is_same(open_generation(tmp_path), make_state(20, version=int(name in COMMITTED)))
    with Store(tmp_path, Alone()) as store:
        assert is_same(store.newest(), make_state(20, version=int(name in COMMITTED)))
        store.save(make_state(20, version=2))
        assert is_same(store.newest(), make_state(20, version=2))


def test_a_kill_that_never_comes_is_noticed(tmp_path, make_state):
    assert not killed_at("rank-0000.h5 renamd", lambda: save(tmp_path, make_state(30)))


def test_a_name_is_given_only_to_what_is_on_the_disk(tmp_path, monkeypatch):
    """Power loss keeps what was synced: bytes before the name, and the name before anybody is told."""
    done = []
    opened = Path("/proc/self/fd")
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(f"fsync {(opened / str(handle)).readlink()}"))
    monkeypatch.setattr(commit, "boundary", lambda name: done.append(name))
    commit.publish(tmp_path / "x", lambda temporary: temporary.write_text("x"))
    assert done == [
        "x written",
        f"fsync {tmp_path}/x.tmp",
        "x synced",
        "x renamed",
        f"fsync {tmp_path}",
        "x durable",
    ]
