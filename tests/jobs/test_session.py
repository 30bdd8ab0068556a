"""A world under supervision: how its stall is noticed, what signals do, and that none of its processes is left."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faked import Launcher, eventually, gone

from shoal.checkpoint import lease
from shoal.checkpoint.lease import Lease
from shoal.jobs import life as signs
from shoal.jobs import session as sessions
from shoal.jobs import supervise as supervision
from shoal.jobs.life import Life
from shoal.jobs.session import Session
from shoal.jobs.supervise import await_lease


@pytest.fixture
def launcher(tmp_path: Path) -> Callable[..., Launcher]:
    return lambda *acts: Launcher(tmp_path, *acts)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "LOOK", 0.01)
    monkeypatch.setattr(sessions, "GRACE", 0.3)


# ---------------------------------------------------------------------------------------------------- life


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """life.after(seconds, written=bytes, ranks=[...]): what is wrong with a world that shows these signs."""
    clock, shown = [0.0], SimpleNamespace(bytes=0, ranks=[1])
    monkeypatch.setattr(signs, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    fake: Any = SimpleNamespace(written=lambda: shown.bytes, ranks=lambda: shown.ranks)

    def after(seconds: float, written: int = 0, ranks: tuple[int, ...] = (1,)) -> str:
        clock[0] += seconds
        shown.bytes, shown.ranks = shown.bytes + written, list(ranks)
        return made.watched.problem()

    made = SimpleNamespace(after=after, watched=Life(fake, tmp_path, 100), folder=tmp_path)
    made.over = lambda silence: setattr(made, "watched", Life(fake, tmp_path, silence))
    return made


def test_a_world_without_output_and_events_is_stalled(life: Any) -> None:
    assert not life.after(2) and not life.after(99)
    assert life.after(2) == "no output and no event for 100 s: the world is stalled"


def test_output_is_a_sign_of_life(life: Any) -> None:
    assert not any(life.after(60, written=1) for _ in range(5))
    assert not life.after(60) and life.after(60)


@pytest.mark.parametrize("name", ["events-1.jsonl", "generations/step-00000010/rank-0001.h5.tmp"])
def test_a_file_that_grows_is_a_sign_of_life(life: Any, name: str) -> None:
    (life.folder / name).parent.mkdir(parents=True, exist_ok=True)
    for _ in range(5):
        with (life.folder / name).open("a") as file:
            file.write("more")
        assert not life.after(60)
    os.utime(life.folder / name)  # as the lease is touched by a rank that may hang
    assert not life.after(60) and life.after(60)


def test_silence_of_0_waits_for_ever(life: Any) -> None:
    life.over(0)
    assert not any(life.after(1e6) for _ in range(5))


def test_a_launcher_that_outlives_its_ranks_hangs(life: Any) -> None:
    life.over(0)
    assert not life.after(60, ranks=()) and not life.after(60, ranks=())  # it has not yet started them, or elsewhere
    assert not life.after(60) and not life.after(29, ranks=())
    assert life.after(2, ranks=()) == "the launcher hangs, 30 s after its ranks have ended"


def test_what_a_launcher_starts_is_of_its_session_and_its_ranks_are_known(launcher: Any, tmp_path: Path) -> None:
    wait = "pass\nwhile not os.path.exists('{}'): time.sleep(0.01)"
    rank, other = (f"child({wait.format(tmp_path / name)!r}, " for name in ("end", "never"))
    start = f"r = {rank}OMPI_COMM_WORLD_SIZE='2'); o = {other}); up(r.pid, o.pid); print('x')"
    fake = launcher(f"{start}; r.wait(); up(o.pid); time.sleep(60)")
    session = Session(fake.words)
    try:
        assert eventually((fake.here / "up").exists)
        leader, rank, other = fake.pids()
        assert session.ranks() == [rank] and sorted(session.members()) == sorted([leader, rank, other])
        assert eventually(lambda: session.written() > 0)
        (fake.here / "end").touch()
        assert eventually(lambda: len(fake.pids()) == 2)
        assert session.ranks() == [] and not session.over
    finally:
        session.end()
    assert session.close() == 143 and gone(leader) and gone(other)


def test_a_stalled_world_is_ended_whatever_it_ignores_and_started_again(
    launcher: Any, impatient: None, capfd: Any
) -> None:
    """Ranks have process groups of their own, and a stopped one does not hear a SIGTERM."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    stopped = "os.setpgid(0, 0); os.kill(os.getpid(), signal.SIGSTOP)"
    fake = launcher(f"{deaf}r = child({stopped!r}); step(3); up(r.pid); time.sleep(60)", "sys.exit(0)")
    assert fake.supervised(silence=1.0) == 0
    assert len(fake.starts) == 2 and all(map(gone, fake.pids()))
    said = capfd.readouterr().err
    assert "no output and no event for 1 s: the world is stalled; ending it" in said
    assert "the world ended with code 7 (stalled); restart 1 of 3" in said


def test_a_restart_waits_until_every_process_of_the_dead_world_is_gone(launcher: Any, impatient: None) -> None:
    """Rank 0 may be still at its last save when mpirun is killed; two worlds must not write into one folder."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    again = "pid = (here / 'up').read_text().split()[1]; "
    again += "stat = pathlib.Path('/proc', pid, 'stat'); "
    again += "sys.exit(0 if not stat.exists() or stat.read_text().rpartition(')')[2].split()[0] == 'Z' else 3)"
    fake = launcher(f"r = child({deaf!r}); up(r.pid); step(1); os._exit(137)", again)
    assert fake.supervised() == 0


def test_a_restart_waits_for_the_lease_of_a_rank_0_elsewhere(tmp_path: Path, monkeypatch: Any, impatient: None) -> None:
    monkeypatch.setattr(lease, "STALE", 0.5)
    left = {"host": "elsewhere", "pid": 1, "start": 1, "token": "x"}
    (tmp_path / "lease.json").write_text(json.dumps(left))
    await_lease(tmp_path, [signal.SIGTERM])
    assert json.loads((tmp_path / "lease.json").read_text()) == left  # told to end meanwhile
    await_lease(tmp_path, [])
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]  # for the heir, who learns from it of the death
    assert Lease(tmp_path).inherited


# ---------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize(
    "sent, heard, code",
    [(signal.SIGUSR1, "SIGUSR1", 75), (signal.SIGTERM, "SIGTERM", 143), (signal.SIGHUP, "SIGTERM", 143)],
)
def test_a_signal_goes_to_the_launcher_and_nothing_is_started_again(
    launcher: Any, sent: signal.Signals, heard: str, code: int
) -> None:
    hear = f"signal.signal(signal.{heard}, lambda *_: sys.exit({code})); up(); time.sleep(60)"
    fake = launcher(hear, "sys.exit(0)")
    child = fake.in_a_child()
    child.send_signal(sent)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, len(fake.starts)) == (code, 1), said
    assert said.endswith(f"after 0 restarts, as it was asked to by {sent.name}\n")


def test_a_world_that_dies_of_being_asked_is_not_started_again(launcher: Any, monkeypatch: Any, capfd: Any) -> None:
    fake = launcher("os.kill(os.getppid(), signal.SIGUSR1); time.sleep(60)", "sys.exit(0)")
    assert fake.supervised() == 128 + signal.SIGUSR1
    assert len(fake.starts) == 1

    def asks(folder: Path, asked: list[int]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(supervision, "await_lease", asks)
    (fake.here / "starts").unlink()
    fake = launcher("step(1); sys.exit(137)", "sys.exit(0)")
    assert fake.supervised() == 137 and len(fake.starts) == 1  # between two worlds
    assert capfd.readouterr().err.endswith("after 0 restarts, as it was asked to by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_was_ignored_stays_ignored(launcher: Any) -> None:
    """nohup shoal run ... goes on when its terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        fake = launcher("os.kill(os.getppid(), signal.SIGHUP); sys.exit(137)", "sys.exit(0)")
        assert fake.supervised() == 0 and len(fake.starts) == 2
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_supervisor_that_is_killed_takes_its_launcher_along(launcher: Any) -> None:
    fake = launcher("up(); time.sleep(60)")
    child = fake.in_a_child()
    child.kill()
    child.communicate(timeout=30)
    assert eventually(lambda: gone(fake.pids()[0]))


def test_an_error_of_the_supervisor_leaves_no_process_behind(launcher: Any, monkeypatch: Any) -> None:
    fake = launcher("up(); time.sleep(60)")

    def problem(self: Life) -> str:
        assert eventually((fake.here / "up").exists)
        raise ZeroDivisionError

    monkeypatch.setattr(Life, "problem", problem)
    with pytest.raises(ZeroDivisionError):
        fake.supervised()
    assert gone(fake.pids()[0])


def test_the_launcher_has_the_terminal_and_ctrl_c_reaches_it_once(launcher: Any) -> None:
    """Progress bars ask whether a person looks; and Ctrl-C goes to all of a terminal's foreground, which is shoal run."""
    hear = "signal.signal(signal.SIGINT, lambda *_: print('heard', flush=True) or sys.exit(130))\n"
    hear += "print('terminal', [os.isatty(i) for i in range(3)], flush=True)\n"
    fake = launcher(hear + "up(); time.sleep(60)", "sys.exit(0)")
    terminal, side = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "shoal", "run", "--", *fake.words],
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # its controlling terminal, as a shell's child has it
    )
    os.close(side)
    said = b""
    while b"]" not in said:  # read first: a terminal drops at Ctrl-C what it has not yet shown
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with pytest.raises(OSError):  # Linux: the other side is closed
        while chunk := os.read(terminal, 4096):
            said += chunk
    os.close(terminal)
    assert child.wait(timeout=30) == 130
    assert b"terminal [True, True, True]" in said and said.count(b"heard") == 1
    assert len(fake.starts) == 1
