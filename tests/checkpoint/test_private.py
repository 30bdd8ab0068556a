"""Ranks that do not share the run folder: found out, and rank 0 writes the very files that all would have written."""

from __future__ import annotations

import errno
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from launch import mpirun

from shoal.checkpoint import commit, slices
from shoal.checkpoint.generation import verify
from shoal.checkpoint.history import open_generation
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


def apart(tmp_path, communicator):
    """A folder on this rank's own machine."""
    return tmp_path / f"disk-{communicator.rank}" / "run"


def together(tmp_path, communicator):
    return tmp_path / "shared" / "run"


def part(state, communicator):
    """Every rank holds other tensors, and a row of one that all hold some of."""
    tensors = dict(list(state.tensors.items())[communicator.rank :: communicator.size])
    spec = Spec("rows", (1, 7), global_shape=(communicator.size, 7), origin=(communicator.rank, 0))
    rows = np.arange(7.0).reshape(1, 7) + 10 * communicator.rank
    return State({**tensors, "model/rows": (spec, rows)}, state.meta)


def saving(tmp_path, where, state, background):
    """A program that saves and says what it knows: the folder, the remark, the messages and bytes of the save."""

    def program(communicator):
        mine = part(state, communicator)
        with Store(where(tmp_path, communicator), communicator) as store:
            if background:
                store.begin(mine)
                for _, array in mine.tensors.values():
                    array.fill(-1)
                path = store.finish()
            else:
                path = store.save(mine)
            generation = store.newest()
            read = {name: generation.read(name, spec).tobytes() for name, spec in everything(state, communicator)}
            return path, store.remark, store.blind, read

    return program


def everything(state, communicator):
    rows = Spec("rows", (communicator.size, 7))
    return [*((name, spec) for name, (spec, _) in state.tensors.items()), ("model/rows", rows)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("generations/*/*.h5")}


@pytest.mark.parametrize(("ranks", "background"), list(product([2, 3], [False, True])))
def test_both_ways_make_the_same_bytes_under_the_same_names(tmp_path, make_state, contents, ranks, background):
    shared = run(ranks, saving(tmp_path, together, make_state(7), background))
    private = run(ranks, saving(tmp_path, apart, make_state(7), background))
    assert files(tmp_path / "shared/run") == files(tmp_path / "disk-0/run")
    assert sorted(files(tmp_path / "disk-0/run")) == [f"rank-{rank:04d}.h5" for rank in range(ranks)]
    assert [read for *_, read in private] == [read for *_, read in shared]
    path = tmp_path / "disk-0/run/generations/step-00000007"
    assert [one for one, *_ in private] == [path] * ranks and verify(path) == []
    for rank in range(1, ranks):
        assert not apart(tmp_path, Rank(rank)).exists()  # nothing is written where it would not be found
    assert not [name for name in contents(tmp_path) if "probe" in name or name.endswith(".tmp")]


class Rank:
    """Stands for a communicator where only the rank is asked for."""

    def __init__(self, rank):
        self.rank = rank


def test_that_the_folder_is_not_shared_is_said_once_with_the_ranks(tmp_path, make_state):
    def half(tmp_path, communicator):
        return together(tmp_path, communicator) if communicator.rank < 2 else apart(tmp_path, communicator)

    shared, private = (run(3, saving(tmp_path, where, make_state(7), False)) for where in (together, half))
    assert [(remark, blind) for _, remark, blind, _ in shared] == [("", [])] * 3
    assert [blind for *_, blind, _ in private] == [[2]] * 3
    told = f"rank 2 and rank 0 do not share {tmp_path / 'shared/run'}: rank 0 writes the checkpoints of all"
    assert private[0][1] == told


def test_one_rank_is_never_asked(tmp_path):
    with Store(tmp_path, Alone()) as store:
        assert (store.blind, store.remark) == ([], "")


def test_a_folder_of_that_name_on_the_other_machine_is_not_taken_for_it(tmp_path, make_state, saved):
    """Even one that holds a run: only what rank 0 has just written is a proof."""
    saved(tmp_path / "disk-1" / "run", 7)
    private = run(2, saving(tmp_path, apart, make_state(7), False))
    assert [blind for *_, blind, _ in private] == [[1], [1]]


def test_a_probe_that_a_killed_job_left_is_swept(tmp_path, contents):
    (tmp_path / ".probe-0123").touch()
    with Store(tmp_path, Alone()):
        assert set(contents(tmp_path)) == {"lease.json"}


def test_a_disk_that_takes_no_probe_is_an_error_that_leaves_no_lease(tmp_path, monkeypatch):
    def refuse(path, *how, **kinds):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def program(communicator):
        with pytest.raises(CheckpointError, match=r"rank 0: .* cannot be written: .*No space left"):
            Store(tmp_path, communicator)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", refuse)
        run(2, program)
    assert not (tmp_path / "lease.json").exists()


def test_parts_travel_in_pieces_and_rank_0_holds_one_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(slices, "PIECE", 1000)
    sent = {}
    large, row = np.arange(3000.0).reshape(3, 1000), np.arange(125.0)

    def program(communicator):
        tensors = {"small": (Spec("small", (125,)), row)} if communicator.rank == 0 else {}
        if communicator.rank == 1:
            tensors = {"large": (Spec("large", (3, 1000)), large), "none": (Spec("none", (0, 3)), np.empty((0, 3)))}
        with Store(apart(tmp_path, communicator), communicator) as store:
            before = communicator.counters.messages
            send = communicator.send

            def counted(a, *where):
                sent.setdefault(communicator.rank, []).append((a.nbytes, np.shares_memory(a, large)))
                send(a, *where)

            communicator.send = counted
            store.save(State(tensors, {"step": 1}))
            assert communicator.counters.messages > before

    run(3, program)
    assert sent == {1: 24 * [(1000, True)]}  # from where it lies, without a copy
    generation = open_generation(tmp_path / "disk-0/run")
    assert generation.read("large", Spec("large", (3, 1000))).tobytes() == large.tobytes()
    assert generation.read("none", Spec("none", (0, 3))).shape == (0, 3)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("file", ["rank-0000.h5", "rank-0001.h5", "rank-0002.h5"])
@pytest.mark.parametrize("at", [".tmp filled", " hashed"])
def test_a_disk_that_fails_rank_0_fails_all_and_keeps_nobody_waiting(
    tmp_path, make_state, saved, contents, monkeypatch, background, file, at
):
    saved(tmp_path / "disk-0/run", 10, 20)
    before = contents(tmp_path)

    def fail(name):
        if name == file + at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def program(communicator):
        with Store(apart(tmp_path, communicator), communicator) as store:
            with pytest.raises(CheckpointError) as error:
                if background:
                    store.begin(part(make_state(30), communicator))
                    store.finish()
                else:
                    store.save(part(make_state(30), communicator))
            assert store.finish() is None
            return str(error.value)

    monkeypatch.setattr(slices, "PIECE", 40)
    monkeypatch.setattr(commit, "boundary", fail)
    told = run(3, program)
    assert told == [told[0]] * 3 and told[0].startswith("rank 0: ") and "No space left on device" in told[0]
    assert contents(tmp_path) == before


PROGRAM = """
import os, sys
from pathlib import Path
import numpy as np
from shoal.checkpoint.store import Store
from shoal.core.spec import Spec, State
from shoal.mpi.start import connect

comm = connect(deadline=20)
spec = Spec("w", (3, 1 << 20), global_shape=(6, 1 << 20), origin=(3 * comm.rank, 0))
true = np.random.default_rng(comm.rank).random(spec.shape)
for home in ("shared", f"disk-{comm.rank}"):
    (Path(sys.argv[1]) / home).mkdir(parents=True, exist_ok=True)
    os.chdir(Path(sys.argv[1]) / home)
    numbers = true.copy()
    with Store("run", comm) as store:
        store.begin(State({"model/w": (spec, numbers)}, {"step": 5}))
        numbers[:] = 0
        store.finish()
        assert store.newest().read("model/w", spec).tobytes() == true.tobytes()
        print(store.blind)
"""


def test_over_mpi_two_machines_make_the_bytes_that_one_disk_would_hold(tmp_path):
    """25 MB a rank: more than one piece, and MPI sends each in its own time."""
    done = mpirun(2, PROGRAM, str(tmp_path))
    assert done.code == 0, done.text
    assert done.out == {0: ["[]", "[1]"], 1: ["[]", "[1]"]}
    found = files(tmp_path / "disk-0/run")
    assert sorted(found) == ["rank-0000.h5", "rank-0001.h5"] and found == files(tmp_path / "shared/run")
    assert not (tmp_path / "disk-1/run").exists()
