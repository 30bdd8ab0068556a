"""The lease: one living job per run folder, and no dead one in its way."""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from killed import killed_at

from shoal.checkpoint import commit, lease
from shoal.checkpoint.lease import Lease, started
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run


def write(folder, **fields):
    """A lease as another job would have left it."""
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "start": started(os.getpid()), "token": "another"}
    (folder / "lease.json").write_text(json.dumps({**mine, **fields}))


def age(folder, seconds):
    then = (folder / "lease.json").stat().st_mtime - seconds
    os.utime(folder / "lease.json", (then, then))


@pytest.fixture
def neighbour():
    """A living process of this host."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    process.wait()


def test_a_lease_says_who_holds_it_and_goes_with_close(tmp_path):
    with Store(tmp_path, Alone()) as store:
        record = json.loads((tmp_path / "lease.json").read_text())
        process = {"pid": os.getpid(), "start": started(os.getpid())}
        assert record == {"host": socket.gethostname(), **process, "token": store.keeper.lease.token}
    assert not (tmp_path / "lease.json").exists()


def test_a_second_store_in_the_folder_is_refused_on_every_rank(tmp_path):
    def program(communicator):
        with pytest.raises(CheckpointError) as error:
            Store(tmp_path, communicator)
        return str(error.value)

    with Store(tmp_path, Alone()):
        told = run(3, program)
    assert told == [told[0]] * 3
    assert f"{tmp_path} is in use by another job: process {os.getpid()} on {socket.gethostname()}" in told[0]
    assert "end that job, or use another folder" in told[0]
    assert run(2, lambda communicator: Store(tmp_path, communicator).close()) == [None, None]


def test_a_living_process_of_this_host_keeps_it_however_silent(tmp_path, neighbour):
    write(tmp_path, pid=neighbour.pid, start=started(neighbour.pid))
    age(tmp_path, 10 * lease.STALE)
    with pytest.raises(CheckpointError, match=f"process {neighbour.pid} on"):
        Lease(tmp_path)


def test_a_dead_process_of_this_host_does_not(tmp_path, neighbour):
    write(tmp_path, pid=neighbour.pid, start=started(neighbour.pid))
    neighbour.kill()
    os.waitid(os.P_PID, neighbour.pid, os.WEXITED | os.WNOWAIT)  # ended, and a zombie until its parent waits
    assert started(neighbour.pid) is None
    Lease(tmp_path).release()
    write(tmp_path, pid=neighbour.pid)
    neighbour.wait()
    Lease(tmp_path).release()


def test_another_process_under_the_same_pid_does_not(tmp_path, neighbour):
    write(tmp_path, pid=neighbour.pid, start=started(neighbour.pid) - 1)
    Lease(tmp_path).release()


def test_another_host_keeps_it_while_it_gives_signs_of_life(tmp_path):
    write(tmp_path, host="elsewhere", pid=1)
    age(tmp_path, lease.STALE - 10)
    with pytest.raises(CheckpointError, match="process 1 on elsewhere"):
        Lease(tmp_path)
    age(tmp_path, lease.STALE + 10)
    Lease(tmp_path).release()


def test_a_lease_that_says_nothing_counts_by_its_age(tmp_path):
    """The disk lost its text, or the writer was killed in between where there are no hard links."""
    (tmp_path / "lease.json").touch()
    with pytest.raises(CheckpointError, match="a job that does not say who it is"):
        Lease(tmp_path)
    age(tmp_path, lease.STALE + 10)
    Lease(tmp_path).release()


def test_the_holder_gives_signs_of_life_until_it_lost_the_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    held = Lease(tmp_path)
    age(tmp_path, 1000)
    old = (tmp_path / "lease.json").stat().st_mtime
    while (tmp_path / "lease.json").stat().st_mtime == old:
        held._released.wait(0.01)
    write(tmp_path, host="elsewhere")
    assert not held.held()
    age(tmp_path, 1000)
    old = (tmp_path / "lease.json").stat().st_mtime
    held._released.wait(0.1)  # ten beats
    assert (tmp_path / "lease.json").stat().st_mtime == old
    held.release()
    assert json.loads((tmp_path / "lease.json").read_text())["host"] == "elsewhere"  # not ours to remove


@pytest.mark.parametrize("when", ["before the save", "during the write"])
def test_a_job_that_lost_the_lease_cannot_commit(tmp_path, make_state, contents, monkeypatch, when):
    def lose(name="rank-0000.h5 synced"):
        if name == "rank-0000.h5 synced":
            write(tmp_path, host="elsewhere", pid=99)

    def program(communicator):
        with Store(tmp_path, communicator) as store:
            if communicator.rank == 0 and when == "before the save":
                lose()
            with pytest.raises(CheckpointError, match="taken over by another job: process 99 on elsewhere"):
                store.save(make_state(10))

    if when == "during the write":
        monkeypatch.setattr(commit, "boundary", lose)
    run(2, program)
    left = {"lease.json"} if when == "before the save" else {"lease.json", "generations/step-00000010/rank-0000.h5"}
    assert set(contents(tmp_path)) == left  # and what is not ours any more we do not clean either


def test_a_lease_that_somebody_removed_is_lost_too(tmp_path, make_state):
    with Store(tmp_path, Alone()) as store:
        (tmp_path / "lease.json").unlink()
        with pytest.raises(CheckpointError, match=r"lease.json was removed: another job may"):
            store.save(make_state(10))


def test_a_lease_that_cannot_be_read_is_not_blamed_on_another_job(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    held, real = Lease(tmp_path), Path.read_text

    def read(path, *how, **kinds):
        if path.name == "lease.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *how, **kinds)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", read)
        with pytest.raises(CheckpointError, match=r"cannot be read, .*Input/output error") as error:
            held.check()
        assert "another job" not in str(error.value)
        held._released.wait(0.1)  # ten beats
    held.check()
    age(tmp_path, 1000)
    old = (tmp_path / "lease.json").stat().st_mtime
    while (tmp_path / "lease.json").stat().st_mtime == old:  # it still beats
        held._released.wait(0.01)
    held.release()


def test_a_lease_that_could_not_be_written_keeps_nobody_out(tmp_path, monkeypatch):
    """A full disk left an empty lease.json, and the folder was closed for two minutes."""
    real = Path.open

    def on_a_full_disk(path, mode, **how):
        real(path, mode, **how).close()
        return real(Path("/dev/full"), "w")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", on_a_full_disk)
        with pytest.raises(OSError, match="No space"):
            Lease(tmp_path)
    assert not list(tmp_path.iterdir())
    Lease(tmp_path).release()


@pytest.mark.parametrize("last", ["write_text", "hardlink_to"])
def test_a_job_killed_while_it_takes_the_lease_keeps_nobody_out(tmp_path, monkeypatch, last):
    monkeypatch.setattr(Path, last, lambda *how, **kinds: os._exit(9))
    pid = os.fork()
    if pid == 0:
        Lease(tmp_path)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    monkeypatch.undo()
    assert not (tmp_path / "lease.json").exists()
    Lease(tmp_path).release()


def test_a_file_system_without_hard_links_keeps_leases_too(tmp_path, monkeypatch):
    def refuse(path, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    held = Lease(tmp_path)
    held.check()
    with pytest.raises(CheckpointError, match=f"in use by another job: process {os.getpid()}"):
        Lease(tmp_path)
    held.check()
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]
    held.release()


# ---------------------------------------------------------------------------------------------- two heirs of one dead job


def left_by_a_dead_job(folder, neighbour):
    write(folder, pid=neighbour.pid, start=started(neighbour.pid), token="dead")
    neighbour.kill()
    neighbour.wait()


def test_while_one_inherits_another_is_refused(tmp_path, neighbour, monkeypatch):
    """Both found the old holder dead and wrote their names, the second over the first's, who trained on until its save."""
    left_by_a_dead_job(tmp_path, neighbour)
    refused = []

    def second(passed):
        if passed == "lease.json inherited" and not refused:
            with pytest.raises(CheckpointError, match=f"in use by another job: process {os.getpid()} on") as error:
                Lease(tmp_path)
            refused.append(error)

    monkeypatch.setattr(commit, "boundary", second)
    first = Lease(tmp_path)
    assert refused and first.held()
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]


def test_an_heir_who_comes_late_is_refused(tmp_path, neighbour, monkeypatch):
    left_by_a_dead_job(tmp_path, neighbour)
    abandoned, heirs = Lease._abandoned, []

    def look(self, path, holder):
        found = abandoned(self, path, holder)
        if holder.get("token") == "dead" and not heirs:
            heirs.append(None)
            heirs[:] = [Lease(tmp_path)]  # all of it between the other's look and its next step
        return found

    monkeypatch.setattr(Lease, "_abandoned", look)
    with pytest.raises(CheckpointError, match=f"in use by another job: process {os.getpid()} on"):
        Lease(tmp_path)
    assert heirs[0].held()
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]


def test_an_heir_that_was_killed_is_inherited_from_too(tmp_path, neighbour):
    left_by_a_dead_job(tmp_path, neighbour)
    for _ in range(3):
        assert killed_at("lease.json inherited", lambda: Lease(tmp_path))
    assert len(list(tmp_path.iterdir())) > 1
    Lease(tmp_path).check()
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]


def test_no_flipped_bit_of_a_lease_is_more_than_a_refusal(tmp_path, neighbour):
    """Neither an error nobody explains nor a lease that none can have: it is refused, or free."""
    write(tmp_path, pid=neighbour.pid, start=started(neighbour.pid), token="f00")
    file, came = tmp_path / "lease.json", set()
    text = file.read_bytes()
    for at, bit in itertools.product(range(len(text)), range(8)):
        file.write_bytes(text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :])
        try:
            Lease(tmp_path).release()
            came.add("taken")
        except CheckpointError:
            came.add("refused")
    assert came == {"taken", "refused"}


@pytest.mark.parametrize("pid", [10**30, -1, 0])
def test_a_lease_of_no_possible_process_is_free(tmp_path, pid):
    write(tmp_path, pid=pid)
    Lease(tmp_path).release()


def test_a_lease_from_the_future_is_refused_with_the_way_out(tmp_path):
    """A clock that was wrong: nobody can tell how long its holder is silent, so a person must."""
    write(tmp_path, host="elsewhere", pid=1)
    age(tmp_path, -365 * 86400)
    with pytest.raises(CheckpointError, match="process 1 on elsewhere") as error:
        Lease(tmp_path)
    assert f"or when you remove {tmp_path / 'lease.json'}" in error.value.cure
    (tmp_path / "lease.json").unlink()
    Lease(tmp_path).release()


def test_whether_it_is_free_can_be_asked_without_taking_it(tmp_path, neighbour):
    assert lease.free(tmp_path)
    write(tmp_path, pid=neighbour.pid, start=started(neighbour.pid))
    assert not lease.free(tmp_path)
    write(tmp_path, host="elsewhere", pid=1)
    assert not lease.free(tmp_path)
    age(tmp_path, lease.STALE + 10)
    assert lease.free(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]
    assert Lease(tmp_path).inherited
