"""Damage between saving and loading: found, named, and passed over for the generation before."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace

import h5py
import numpy as np
import pytest

from shoal.checkpoint import history, manifest
from shoal.checkpoint.generation import Generation, verify
from shoal.checkpoint.history import generations, open_generation
from shoal.checkpoint.manifest import File
from shoal.checkpoint.shard import sha256
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.core.spec import Spec
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def edit(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


DAMAGE = {
    "first byte flipped": ("rank-0000.h5", lambda path: flip(path, 0), "sha256"),
    "middle byte flipped": ("rank-0000.h5", lambda path: flip(path, path.stat().st_size // 2), "sha256"),
    "last byte flipped": ("rank-0000.h5", lambda path: flip(path, -1), "sha256"),
    "truncated": ("rank-0000.h5", lambda path: path.write_bytes(path.read_bytes()[:-1]), "were written"),
    "emptied": ("rank-0000.h5", lambda path: path.write_bytes(b""), "has 0 bytes"),
    "missing": ("rank-0000.h5", lambda path: path.unlink(), "is missing"),
    "a folder in its place": ("rank-0000.h5", lambda path: [path.unlink(), path.mkdir()], "is missing"),
    "garbage": ("manifest.json", lambda path: path.write_bytes(b"\xff\x00garbage"), "cannot be read"),
    "half": ("manifest.json", lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot be read"),
    "another JSON": ("manifest.json", lambda path: path.write_text("[1, 2]"), "cannot be read"),
    "a fact edited": ("manifest.json", lambda path: edit(path, meta={"step": 21}), "damaged"),
    "a file forgotten": ("manifest.json", lambda path: edit(path, files=[]), "damaged"),
    "a version edited": ("manifest.json", lambda path: edit(path, version=3), "damaged"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_the_generation_before_is_loaded_on_every_rank(tmp_path, make_state, is_same, saved, kind):
    name, damage, says = DAMAGE[kind]
    _, path = saved(tmp_path, 10, 20)
    assert verify(path) == []
    damage(path / name)
    assert len(verify(path)) == 1
    assert str(path / name) in verify(path)[0] and says in verify(path)[0]
    with pytest.raises(CheckpointError, match=name):
        Generation(path)

    told = []

    def program(communicator):
        with Store(tmp_path, communicator, reject=lambda path, problem: told.append((path, problem))) as store:
            return is_same(store.newest(), make_state(10))

    assert run(2, program) == [True, True]
    ((rejected, problem),) = told
    assert rejected == path and str(path / name) in problem and says in problem


def test_no_flipped_byte_of_a_manifest_changes_what_is_loaded(tmp_path, saved):
    (path,) = saved(tmp_path, 10)
    file, true = path / "manifest.json", Generation(path).manifest
    text = file.read_bytes()
    for at in range(len(text)):
        flip(file, at)
        with suppress(CheckpointError):
            assert Generation(path).manifest == true, f"byte {at} was changed unnoticed"
        file.write_bytes(text)


def test_a_fall_back_is_never_silent(tmp_path, saved, caplog):
    _, path = saved(tmp_path, 10, 20)
    flip(path / "rank-0000.h5", 99)
    open_generation(tmp_path)
    with Store(tmp_path, Alone()) as store:
        store.newest()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert f"{path / 'rank-0000.h5'} is damaged" in caplog.text
    assert "falling back to the generation before" in caplog.text


def test_if_nothing_can_be_believed_nobody_starts_from_nothing(tmp_path, saved):
    for path in saved(tmp_path, 10, 20):
        flip(path / "rank-0000.h5", 99)

    def program(communicator):
        with Store(tmp_path, communicator) as store, pytest.raises(CheckpointError) as error:
            store.newest()
        return str(error.value)

    first, second = run(2, program)
    assert first == second
    assert "no generation in" in first and "step-00000010" in first and "step-00000020" in first


def test_a_damaged_generation_does_not_count_among_the_kept(tmp_path, make_state, is_same, saved):
    """Else one more bad disk would leave nothing: 10 is the only good one until 15 is saved, and the spare then."""
    _, path = saved(tmp_path, 10, 20)
    flip(path / "rank-0000.h5", 99)
    with Store(tmp_path, Alone(), keep=2) as store:
        store.newest()
        store.save(make_state(15))
        assert [p.name for p in generations(tmp_path)] == ["step-00000020", "step-00000015", "step-00000010"]
        store.save(make_state(20))  # replaces the damaged one
        assert [p.name for p in generations(tmp_path)] == ["step-00000020", "step-00000015"]
        assert is_same(store.newest(), make_state(20))


def from_the_future(path):
    """Makes a generation one of a newer shoal."""
    body = json.loads((path / "manifest.json").read_text()) | {"version": 2, "new": "things"}
    body.pop("sha256")
    edit(path / "manifest.json", **body, sha256=manifest._digest(body))


def test_a_newer_shoals_generation_is_no_damage_and_nobody_falls_back_from_it(tmp_path, make_state, saved, contents):
    """It did, and the save of the same step replaced a good generation that only was not understood."""
    _, path = saved(tmp_path, 10, 20)
    from_the_future(path)
    before = contents(tmp_path)

    def program(communicator):
        says = r"step-00000020/manifest.json has format version 2, this shoal reads 1"
        with Store(tmp_path, communicator, keep=1) as store:
            with pytest.raises(CheckpointError, match=says) as error:
                store.newest()
            with pytest.raises(CheckpointError, match=says):
                store.save(make_state(20))
        return error.value.cure

    assert run(2, program) == 2 * [
        "use the shoal that wrote it, or a newer one; or move that generation away to go on without it"
    ]
    assert contents(tmp_path) == before
    for choose in (history.newest, history.best):
        with pytest.raises(CheckpointError, match="format version 2"):
            open_generation(tmp_path, choose=choose)


@pytest.mark.parametrize(
    "how", [from_the_future, lambda path: flip(path / "manifest.json", 40)], ids=["newer", "damaged"]
)
def test_what_cannot_be_read_is_not_removed(tmp_path, make_state, saved, how):
    """It may be a newer shoal's, or all that a person has left to look at."""
    path, *_ = saved(tmp_path, 10, 20)
    how(path)
    with Store(tmp_path, Alone(), keep=1) as store:
        store.save(make_state(30))
    assert [p.name for p in generations(tmp_path)] == ["step-00000030", "step-00000010"]
    assert (path / "rank-0000.h5").exists()


def test_what_is_not_shoals_is_left_alone(tmp_path, make_state, is_same, saved, contents):
    """A person's copy of a generation, notes and unfinished work of others: they were swept, or counted and pruned."""
    first, _ = saved(tmp_path, 10, 20)
    shutil.copytree(first, first.with_name("step-00000010-keep"))
    (tmp_path / "generations" / "notes").mkdir()
    theirs = ["generations/notes/a.txt", "generations/read.me", "generations/step-00000020/why.txt"]
    for name in theirs:
        (tmp_path / name).write_text(name)
    with Store(tmp_path, Alone(), keep=2) as store:
        store.save(make_state(30))
        assert is_same(store.newest(), make_state(30))
    assert {*theirs, "generations/step-00000010-keep/manifest.json"} <= contents(tmp_path).keys()
    assert [p.name for p in generations(tmp_path)] == ["step-00000030", "step-00000020"]


def test_a_latest_that_lies_or_lacks_changes_nothing(tmp_path, make_state, is_same, saved):
    saved(tmp_path, 10, 20)
    for text in ("step-00000010\n", "step-00099999\n", "", "step-\0"):
        (tmp_path / "latest").write_text(text)
        (tmp_path / "best").write_text(text)
        assert is_same(open_generation(tmp_path), make_state(20))
    (tmp_path / "latest").unlink()
    assert is_same(open_generation(tmp_path), make_state(20))


def test_a_generation_can_be_moved(tmp_path, make_state, is_same, saved):
    (path,) = saved(tmp_path / "run", 10)
    shutil.move(path, tmp_path / "elsewhere")
    assert is_same(open_generation(tmp_path / "elsewhere"), make_state(10))


def test_an_array_that_was_damaged_before_its_file_was_hashed_is_found_by_its_own_checksum(tmp_path, saved):
    (path,) = saved(tmp_path, 10)
    true, file = Generation(path).manifest, path / "rank-0000.h5"
    with h5py.File(file, "r+") as opened:
        opened["model/0.bias"][0] += np.float32(1)
    record = File(file.name, file.stat().st_size, sha256(file), true.files[0].slices)
    (path / "manifest.json").write_text(replace(true, files=(record,)).text())
    assert verify(path) == []
    with pytest.raises(CheckpointError, match=r"model/0.bias in .*rank-0000.h5 does not have the crc32"):
        Generation(path).read("model/0.bias", Spec("0.bias", (6,)))
