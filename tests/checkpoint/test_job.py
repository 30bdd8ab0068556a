"""Whole jobs in trouble: another in the same folder, mpirun killed, the disk full, the folder gone, a rank stopped in a save."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from killed import killed_at
from kills import PIPELINE, SETTINGS
from launch import ROOT_MAY, Finished, launcher, mpirun, session

from shoal.checkpoint.history import generations, newest, open_generation
from shoal.checkpoint.lease import Lease
from shoal.core.errors import exit_code
from shoal.mpi.alone import Alone
from shoal.train import loop, start
from shoal.train.config import load
from shoal.train.progress import Silent

JOB = """
import os, shutil, signal, sys
from pathlib import Path
from shoal.checkpoint import agreement, commit
from shoal.cli import main
folder, passed = Path({folder!r}), []
def boundary(name):
    passed.append(name)
    {act}
commit.boundary = boundary
sys.argv = ["shoal", "train", "digits-cnn", "--resume", "--progress", "none", "run.folder=" + str(folder), *{settings!r}]
main()
"""


def job(folder: Path, act: str = "pass", *settings: str) -> str:
    """The program of a rank of two; `act` is done at each boundary `name`, `passed` lists them so far."""
    return JOB.format(folder=str(folder), act=act, settings=[*SETTINGS, PIPELINE, *settings])


def digests(folder: Path) -> list[str]:
    return sorted(file.sha256 for file in open_generation(folder).manifest.files)


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a run that nothing happens to ends in."""
    folder = tmp_path_factory.mktemp("uncut") / "run"
    done = mpirun(2, job(folder))
    assert done.code == 0, done.text
    return digests(folder)


def goes_on(folder: Path, uncut: list[str]) -> None:
    done = mpirun(2, job(folder))
    assert done.code == 0, done.text
    assert digests(folder) == uncut


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def until(what: str, holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not {what} within {seconds} s"
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------------------------- orphans


def test_ranks_whose_mpirun_was_killed_stop_and_a_new_job_goes_on_to_the_same_bits(tmp_path, uncut):
    folder = tmp_path / "run"
    options = ["--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx", "-n", "2"]
    # rank 0 waits at the commit of its third save: killed from outside there, it would write the manifest next
    act = "passed.count('manifest.json synced') == 3 and [(folder / 'here').touch(), __import__('time').sleep(60)]"
    command = [launcher(), *options, sys.executable, "-c", job(folder, act)]
    started = subprocess.Popen(command, env={**os.environ, **ROOT_MAY}, start_new_session=True)
    try:
        until("at the third commit", (folder / "here").exists, 60)
        ranks = [process for process in session(started.pid) if process != started.pid]
        assert len(ranks) >= 2 and all(map(alive, ranks))
        started.kill()
        until("ended", lambda: not any(map(alive, ranks)))
    finally:
        for process in session(started.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        started.wait()
    found = newest(folder)
    assert found is not None and found.manifest.serial == 2
    goes_on(folder, uncut)


# ------------------------------------------------------------------------------------------------- two jobs in one folder


def rival(folder: Path, gate: tuple[int, int], ended: Path) -> int:
    """A process that starts the job when the pipe `gate` is closed; a winner stays until the other has ended."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        warm_up = loop.Loop.warm_up

        def stay(that: loop.Loop) -> None:
            until("the other has ended", ended.exists)
            warm_up(that)

        loop.Loop.warm_up = stay  # type: ignore[method-assign]
        os.close(gate[1])
        os.read(gate[0], 1)
        start.train(
            load("digits-cnn", [*SETTINGS, "train.epochs=1", f"run.folder={folder}"]), Alone(), Silent(), resume=True
        )
        code = 0
    except Exception as error:
        code = exit_code(error)
        ended.write_text(str(error))
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.parametrize("before", ["nothing", "a dead job's lease"])
def test_of_two_jobs_that_start_at_the_same_instant_one_trains_and_the_other_writes_nothing(tmp_path, before):
    folder, ended = tmp_path / "run", tmp_path / "ended"
    if before != "nothing":
        folder.mkdir()
        assert killed_at("end", lambda: [Lease(folder), os.kill(os.getpid(), signal.SIGKILL)])
    gate = os.pipe()
    pids = [rival(folder, gate, ended) for _ in range(2)]
    for end in gate:
        os.close(end)
    codes = {pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    assert sorted(codes.values()) == [0, 5]
    winner = next(pid for pid, code in codes.items() if code == 0)
    assert f"in use by another job: process {winner} on" in ended.read_text()
    assert len((folder / "environment.jsonl").read_text().splitlines()) == 1
    told = [json.loads(line)["event"] for line in (folder / "events-0.jsonl").read_text().splitlines()]
    assert told.count("start") == told.count("end") == 1
    assert not list(folder.glob("lease*"))


# ------------------------------------------------------------------------------------------------------- disk and folder


def said_once(done: Finished, *words: str) -> None:
    assert done.code == 5, done.text
    for word in words:
        assert done.text.count(word) == 1, done.text


def test_a_disk_that_is_full_ends_a_job_with_5_and_what_to_do_and_it_goes_on_once_there_is_room(tmp_path, uncut):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mount: no file system can be mounted here")
    try:
        done = mpirun(2, job(disk / "run", "pass", "checkpoint.keep=9"))
        said_once(done, "No space left on device; it needs", "bytes, ", "cure: free space there")
        assert newest(disk / "run") is not None and not list(disk.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        goes_on(disk / "run", uncut)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_run_folder_that_is_removed_ends_the_job_with_5(tmp_path):
    folder = tmp_path / "run"
    done = mpirun(2, job(folder, "passed.count('rank-0001.h5 hashed') == 2 and shutil.rmtree(folder)"), timeout=60)
    assert done.code == 5, done.text
    assert str(folder) in done.text and "cure:" in done.text


# -------------------------------------------------------------------------------------------------------- a rank that stops


def test_a_rank_that_stops_in_a_save_is_reported_and_the_generation_before_stands(tmp_path):
    folder = tmp_path / "run"
    act = "agreement.PATIENCE = 2; passed.count('rank-0001.h5 written') == 2 and os.kill(os.getpid(), signal.SIGSTOP)"
    done = mpirun(2, job(folder, act, "parallel.deadline=1"), timeout=60)
    assert done.code == 7, done.text
    assert "rank 0 waiting since" in done.text and "allgather 'checkpoint write'" in done.text
    assert "rank 0 stalled after" in done.text and "waiting for rank 1" in done.text
    found = newest(folder)
    assert found is not None and found.manifest.serial == 1 and len(generations(folder)) == 1
