"""Disks as they are: full at any phase, read-only, without locks, links or fsync of folders, reached by another name."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from killed import killed_at

from shoal.checkpoint import commit
from shoal.checkpoint.generation import verify
from shoal.checkpoint.history import generations, newest, open_generation
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """mounted("size=3m"): a tmpfs of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"mount: no file system can be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def large(step: int) -> State:
    """800 kB, in two tensors that two ranks write."""
    rng = np.random.default_rng(step)
    arrays = {name: rng.random(100_000, np.float32) for name in ("model/0.weight", "model/1.weight")}
    return State({name: (Spec(name[6:], a.shape), a) for name, a in arrays.items()}, {"step": step})


def fill(folder: Path) -> None:
    """Leaves no byte on the disk of `folder`."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


def save(store: Store, state: State, background: bool) -> None:
    if background:
        store.begin(state)
        store.finish()
    else:
        store.save(state)


# ------------------------------------------------------------------------------------------------------- no space left

FILE = [f"rank-0001.h5{done}" for done in (".tmp filled", ".tmp flushed", " written", " synced", " durable", " hashed")]
PHASES = ["before", *FILE, "manifest.json written", "manifest.json durable", "latest renamed"]


@pytest.mark.parametrize("background", [False, True], ids=["waited for", "in the background"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_disk_that_fills_up_at_any_phase_costs_at_most_this_save(mounted, is_same, monkeypatch, phase, background):
    disk = mounted("size=4m")

    def full(passed: str) -> None:
        if passed == phase and not (disk / "filler").exists():
            fill(disk)

    def program(communicator):
        def part(step: int) -> State:
            state = large(step)
            return State(dict(list(state.tensors.items())[communicator.rank :: 2]), state.meta)

        with Store(disk / "run", communicator, keep=2) as store:
            save(store, part(10), background)
            communicator.barrier("saved")
            if communicator.rank == 0:
                monkeypatch.setattr(commit, "boundary", full)
                full("before")
            communicator.barrier("armed")
            told = ""
            try:
                save(store, part(20), background)
            except CheckpointError as error:
                told = str(error)
            communicator.barrier("over")
            if communicator.rank == 0:
                monkeypatch.undo()
                found = open_generation(disk / "run")
                assert is_same(found, large(found.meta["step"]))
                committed = (
                    phase.startswith(("manifest", "latest")) or not told
                )  # a name needs no room, so the commit comes
                assert found.meta["step"] == (20 if committed else 10)
                assert len(generations(disk / "run")) == len(list((disk / "run/generations").iterdir()))
                (disk / "filler").unlink(missing_ok=True)
            communicator.barrier("freed")
            save(store, part(30), background)
            return told, is_same(store.newest(), large(30))

    (told, same), other = run(2, program)
    assert same and other == (told, True)
    if phase in ("before", *FILE[:1], "rank-0001.h5 hashed"):
        assert "No space left on device" in told and "cure: free space there" in told
    if phase == "before":
        assert "it needs 465,536 bytes, 0 were free" in told


def test_a_disk_with_room_is_no_error(mounted):
    """The test above can fail."""
    disk = mounted("size=4m")
    with Store(disk / "run", Alone()) as store:
        store.save(large(10))
    with pytest.raises(OSError, match="No space"):
        fill(disk), (disk / "x").write_bytes(b"x")


# ---------------------------------------------------------------------------------------------------- not to be written


def as_nobody(act: Callable[[], None]) -> int:
    """The exit code of `act` in a process without privileges."""
    if os.getuid():
        pytest.skip("setuid: only root can become somebody else")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder that everybody can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    return tmp_path


def test_a_folder_of_somebody_else_can_be_read_and_not_written(public, make_state, is_same, saved, contents):
    saved(public / "run", 10)
    before = contents(public)

    def visit() -> None:
        with pytest.raises(CheckpointError, match=r"run cannot be written: .*Permission denied"):
            Store(public / "run", Alone())
        assert is_same(open_generation(public / "run"), make_state(10))

    assert as_nobody(visit) == 0
    assert contents(public) == before


@pytest.mark.parametrize("part", ["generations", "generations/step-00000010"])
def test_a_folder_that_is_closed_while_a_job_trains_costs_nothing_saved(public, make_state, is_same, saved, part):
    public.chmod(0o777)

    def job() -> None:
        with Store(public / "run", Alone()) as store:
            store.save(make_state(10))
            (public / "run" / part).chmod(0o555)
            with pytest.raises(CheckpointError, match="Permission denied"):
                store.save(make_state(20 if part == "generations" else 10))
            assert is_same(store.newest(), make_state(10))
            (public / "run" / part).chmod(0o755)
            store.save(make_state(20))
            assert is_same(store.newest(), make_state(20))

    assert as_nobody(job) == 0


def test_a_disk_that_becomes_read_only_keeps_what_it_has(mounted, make_state, is_same):
    disk = mounted("size=4m")
    with Store(disk / "run", Alone()) as store:
        store.save(make_state(10))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(CheckpointError, match="Read-only file system"):
            store.save(make_state(20))
        assert is_same(store.newest(), make_state(10))
        with pytest.raises(CheckpointError, match=r"Read-only file system|in use by another job"):
            Store(disk / "run", Alone())
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        store.save(make_state(20))
        assert is_same(store.newest(), make_state(20))


# ------------------------------------------------------------------------------------------------- what disks do not have

LOCKS = """
import sys, numpy as np
from shoal.checkpoint.store import Store
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
state = State({"model/w": (Spec("w", (1000,)), np.arange(1000.0))}, {"step": int(sys.argv[2])})
with Store(sys.argv[1], Alone(), keep=9) as store:
    found = store.newest()
    assert int(sys.argv[2]) == 10 or found.meta["step"] == 10 and found.read("model/w", Spec("w", (1000,)))[999] == 999
    store.save(state)
"""
PLAIN = "import h5py, sys; h5py.File(sys.argv[1] + '/plain.h5', 'w', locking=False)"
SHIM = """
#include <errno.h>
int flock(int fd, int how) { errno = ENOLCK; return -1; }
"""


def child(program: str, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("policy", ["TRUE", "FALSE", "BEST_EFFORT"])
def test_locks_that_are_refused_do_not_matter_whatever_the_site_says(tmp_path, policy):
    """HDF5_USE_FILE_LOCKING=TRUE overruled locking=False: errno 37 on file systems without locks, 11 under a lock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("cc: no C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    settings = {"HDF5_USE_FILE_LOCKING": policy, "LD_PRELOAD": str(tmp_path / "shim.so")}
    for step in (10, 20):
        done = child(LOCKS, tmp_path / "run", step, **settings)
        assert done.returncode == 0, done.stderr
    if policy == "TRUE":  # the shim is one
        assert "No locks available" in child(PLAIN, tmp_path, **settings).stderr


def test_a_generation_that_somebody_holds_a_lock_on_is_read(tmp_path, saved, make_state, is_same, monkeypatch):
    (path,) = saved(tmp_path, 10)
    with (path / "rank-0000.h5").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = child(
            f"from shoal.checkpoint.generation import Generation as G; G({str(path)!r})", HDF5_USE_FILE_LOCKING="TRUE"
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.EBADF])
def test_a_file_system_that_cannot_sync_folders_keeps_generations(tmp_path, make_state, is_same, monkeypatch, refusal):
    fsync = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(refusal, os.strerror(refusal))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with Store(tmp_path, Alone()) as store:
        store.save(make_state(10))
        assert is_same(store.newest(), make_state(10))


def test_a_folder_that_cannot_be_synced_for_a_bad_disk_is_an_error(tmp_path, make_state, monkeypatch):
    """The test above can fail."""

    def refuse(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Store(tmp_path, Alone()) as store, pytest.raises(CheckpointError, match="Input/output error"):
        monkeypatch.setattr(os, "fsync", refuse)
        store.save(make_state(10))


# -------------------------------------------------------------------------------------------------- the folder's own fate


def test_a_run_folder_behind_a_symbolic_link_is_the_folder_it_names(tmp_path, make_state, is_same):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with Store(tmp_path / "link", Alone(), keep=1) as store:
        with pytest.raises(CheckpointError, match="in use by another job"):
            Store(tmp_path / "real", Alone())
        for step in (10, 20):
            store.save(make_state(step))
    assert (tmp_path / "link").is_symlink() and is_same(newest(tmp_path / "real"), make_state(20))


def test_a_link_in_place_of_a_generation_is_not_followed_by_what_removes(tmp_path, make_state, saved):
    """Somebody moved a generation to a larger disk and left a link: it is read, and only the link is ours to remove."""
    path, _ = saved(tmp_path / "run", 10, 20)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with Store(tmp_path / "run", Alone(), keep=1) as store:
        store.save(make_state(30))
    assert [p.name for p in generations(tmp_path / "run")] == ["step-00000030"]
    assert verify(tmp_path / "moved") == []


@pytest.mark.parametrize(
    "when", ["between two saves", "rank-0001.h5 filled", "rank-0001.h5 hashed", "manifest.json synced"]
)
def test_a_run_folder_that_is_removed_ends_the_save_on_every_rank(tmp_path, make_state, monkeypatch, when):
    folder = tmp_path / "run"

    def remove(passed: str) -> None:
        if passed.replace(".tmp", "") == when:
            shutil.rmtree(folder)

    def program(communicator):
        state = make_state(10)
        mine = State(dict(list(state.tensors.items())[communicator.rank :: 2]), state.meta)
        with Store(folder, communicator) as store:
            store.save(mine)
            communicator.barrier("saved")
            if communicator.rank == 0:
                monkeypatch.setattr(commit, "boundary", remove)
                remove("between two saves")
            communicator.barrier("armed")
            with pytest.raises(CheckpointError) as error:
                store.save(State(mine.tensors, {"step": 20}))
            return str(error.value)

    told = run(2, program, deadline=20)
    assert told[0] == told[1] and str(folder) in told[0]


def test_a_job_killed_with_its_folder_gone_leaves_no_folder(tmp_path, make_state):
    def job() -> None:
        with Store(tmp_path / "run", Alone()) as store:
            shutil.rmtree(tmp_path / "run")
            with pytest.raises(CheckpointError, match=r"lease\.json was removed"):
                store.save(make_state(10))

    assert not killed_at("never", job) and not (tmp_path / "run").exists()
