"""Signals: a run that is asked to end saves, says so, and goes on to the bits of a run that was never asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from launch import mpirun

from shoal.checkpoint.history import generations, open_generation
from shoal.core.errors import Preempted, exit_code
from shoal.mpi.alone import Alone
from shoal.mpi.synchronous import Synchronous
from shoal.mpi.threads import run
from shoal.train import loop, start
from shoal.train.config import Config, load
from shoal.train.ending import Interrupted
from shoal.train.progress import Silent
from shoal.train.signals import Wishes
from shoal.train.summary import Summary


@pytest.fixture
def config(tiny: list[str], tmp_path: Path) -> Any:
    """config("train.epochs=3"): the tiny run of 5 steps an epoch, changed."""
    return lambda *settings: load("digits-cnn", [*tiny, f"run.folder={tmp_path / 'run'}", *settings])


def train(config: Config, resume: bool = False, wishes: Wishes | None = None, comm: Any = None) -> Summary:
    return start.train(config, comm or Alone(), Silent(), resume, wishes)


def stored(folder: Path) -> tuple[list[bytes], Any]:
    """Every stored byte of the newest generation, and what its watch has seen; a step saved again has other file names."""
    newest = open_generation(folder)
    return [path.read_bytes() for path in sorted(newest.path.glob("*.h5"))], newest.meta["watch"]


class Sender:
    """Sends this process a signal as it begins the n-th call of a method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cls: type, method: str, n: int, name: str, times: int = 1):
        original, calls = getattr(cls, method), [0]

        def sending(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == n:
                for _ in range(times):
                    signal.raise_signal(getattr(signal, name))
            return original(*args, **kwargs)

        monkeypatch.setattr(cls, method, sending)


PLACES = {  # method, its n-th call, the step after which the run ends: 10 in all, 5 an epoch
    "before the first step": (loop.Loop, "warm_up", 1, 0),
    "in a step": (loop.Loop, "_feed", 3, 3),
    "in the last step of an epoch": (loop.Loop, "_feed", 5, 5),
    "in the evaluation": (Synchronous, "evaluate", 1, 5),
    "in a save": (loop.Loop, "_state", 1, 5),
    "in the last evaluation": (Synchronous, "evaluate", 2, 10),
}


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_anywhere_saves_ends_with_75_and_changes_no_bit(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    settings = ["checkpoint.best=loss", "train.patience=3"]
    train(config(*settings, f"run.folder={tmp_path / 'whole'}"))
    cls, method, n, step = PLACES[place]
    with monkeypatch.context() as patch, Wishes().heard() as wishes, pytest.raises(Preempted) as ended:
        Sender(patch, cls, method, n, name)
        train(config(*settings), wishes=wishes)
    newest = open_generation(tmp_path / "run")
    assert newest.meta["fed"] == step
    assert ended.value.problem == f"ended by {name} after step {step} of 10; the newest checkpoint is {newest.path}"
    assert "--resume" in ended.value.cure and exit_code(ended.value) == 75
    train(config(*settings), resume=True)
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")


def test_a_run_knows_how_often_it_was_killed(config: Any, tmp_path: Path) -> None:
    """By the lease that a killed job leaves behind; one that was asked to end leaves none."""
    pid = os.fork()
    if pid == 0:
        loop.Loop._evaluate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        train(config("checkpoint.every_steps=2"))
    os.waitpid(pid, 0)
    assert open_generation(tmp_path / "run").meta["life"]["failures"] == 0
    train(config("train.epochs=2"), resume=True)
    train(config("train.epochs=3"), resume=True)
    assert open_generation(tmp_path / "run").meta["life"]["failures"] == 1


def test_a_signal_to_one_rank_ends_all_after_the_same_step(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 2 alone is asked, in its fourth step."""
    feed = loop.Loop._feed

    def asking(self: loop.Loop, name: str, batch: Any) -> Any:
        self.wishes.counts["SIGUSR1"] += self.job.comm.rank == 2 and self.fed == 3
        return feed(self, name, batch)

    def program(comm: Any) -> str:
        with pytest.raises(Preempted) as ended:
            train(config(), comm=comm)
        return ended.value.problem

    monkeypatch.setattr(loop.Loop, "_feed", asking)
    told = run(3, program)
    assert len(set(told)) == 1 and told[0].startswith("ended by SIGUSR1 to 1 of 3 ranks after step ")


def test_ctrl_c_saves_and_ends_with_130(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    Sender(monkeypatch, loop.Loop, "_feed", 3, "SIGINT")
    with Wishes().heard() as wishes, pytest.raises(Interrupted) as ended:
        train(config(), wishes=wishes)
    assert open_generation(tmp_path / "run").meta["fed"] == 3 and exit_code(ended.value) == 130
    assert "Ctrl-C again ends at once" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_at_once(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Sender(monkeypatch, loop.Loop, "_feed", 3, "SIGINT", times=2)
    with Wishes().heard() as wishes, pytest.raises(Interrupted, match="there is no checkpoint yet"):
        train(config(), wishes=wishes)
    assert not generations(tmp_path / "run")


def test_ctrl_c_before_there_is_anything_to_save_ends_at_once(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Sender(monkeypatch, loop.Loop, "warm_up", 1, "SIGINT")
    with Wishes().heard() as wishes, pytest.raises(KeyboardInterrupt) as ended:
        train(config(), wishes=wishes)
    assert not isinstance(ended.value, Interrupted)


def test_the_handlers_of_whoever_called_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)]
    with Wishes().heard():
        assert signal.getsignal(signal.SIGUSR1) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)] == before


def test_without_a_signal_nothing_ends(config: Any) -> None:
    """The checks above can fail."""
    with Wishes().heard() as wishes:
        assert train(config(), wishes=wishes).stopped == ""


# ---------------------------------------------------------------------------------------------------- processes

ASKING = """
import os, signal, sys
from shoal.cli import main
from shoal.train import loop
feed, who, step = loop.Loop._feed, {who}, {step}
def asking(self, name, batch):
    if self.fed == step and self.job.comm.rank == self.job.comm.size - 1:
        os.kill(who(), signal.{signal})
    return feed(self, name, batch)
loop.Loop._feed = asking
sys.argv = ["shoal", "train", {preset!r}, *{settings!r}]
main()
"""


def program(preset: str, settings: list[str], signal: str, who: str = "os.getpid", step: int = 3) -> str:
    return ASKING.format(who=who, step=step, signal=signal, preset=preset, settings=settings)


@pytest.mark.parametrize(("name", "code"), [("SIGUSR1", 75), ("SIGTERM", 75), ("SIGINT", 130)])
def test_one_process_says_what_it_did_and_how_to_go_on(tiny: list[str], tmp_path: Path, name: str, code: int) -> None:
    text = program("digits-cnn", [*tiny, f"run.folder={tmp_path / 'run'}"], name)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stderr
    newest = open_generation(tmp_path / "run").path
    assert f"after step 4 of 10; the newest checkpoint is {newest}" in done.stderr
    assert "cure:  the same command with --resume continues from there" in done.stderr


@pytest.mark.parametrize("who", ["os.getpid", "os.getppid"], ids=["a rank", "mpirun, which forwards it"])
def test_sigusr1_under_mpirun_saves_ends_with_75_and_resumes_to_the_same_bits(
    tiny: list[str], tmp_path: Path, who: str
) -> None:
    settings = [*tiny, "train.epochs=40", "train.dtype=float64", f"run.folder={tmp_path / 'run'}"]
    done = mpirun(2, program("digits-cnn", settings, "SIGUSR1", who))
    assert done.code == 75, done.text
    saved = open_generation(tmp_path / "run")
    assert 4 <= saved.meta["fed"] < 200
    assert done.text.count("error:") == 1 and "the same command with --resume continues" in done.said(0)
    whole = mpirun(2, program("digits-cnn", [*settings, f"run.folder={tmp_path / 'whole'}"], "SIGUSR1", step=-1))
    resumed = mpirun(2, program("digits-cnn", [*settings, "--resume"], "SIGUSR1", step=-1))
    assert (whole.code, resumed.code) == (0, 0), resumed.text
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")


def test_the_time_between_saves_may_be_seconds(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes ten seconds here; after three of them 25 seconds have passed."""
    time, feed = [0.0], loop.Loop._feed

    def timed(self: loop.Loop, name: str, batch: Any) -> Any:
        time[0] += 10
        return feed(self, name, batch)

    monkeypatch.setattr(loop.Loop, "_feed", timed)
    monkeypatch.setattr("shoal.train.pulse.now", lambda: time[0])
    train(config("checkpoint.every_seconds=25", "checkpoint.every_epochs=0", "checkpoint.keep=9"))
    assert [path.name for path in generations(tmp_path / "run")] == [f"step-{n:08d}" for n in (10, 9, 6, 3)]
    events = [json.loads(line) for line in (tmp_path / "run" / "events-0.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [3, 6, 9, 10]


@pytest.mark.parametrize("place", ["in a step", "in the evaluation"])
def test_saves_in_the_background_end_in_the_same_bits(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    settings = ["checkpoint.every_steps=1", "checkpoint.keep=99"]
    train(config(*settings, f"run.folder={tmp_path / 'whole'}"))
    cls, method, n, step = PLACES[place]
    behind = config(*settings, "checkpoint.background=true")
    with monkeypatch.context() as patch, Wishes().heard() as wishes, pytest.raises(Preempted):
        Sender(patch, cls, method, n, "SIGUSR1")
        train(behind, wishes=wishes)
    assert open_generation(tmp_path / "run").meta["fed"] == step
    train(behind, resume=True)
    assert stored(tmp_path / "run") == stored(tmp_path / "whole")
    for path in generations(tmp_path / "run"):  # every one of them is what was saved at that step
        assert (path / "rank-0000.h5").read_bytes() == (
            tmp_path / "whole/generations" / path.name / "rank-0000.h5"
        ).read_bytes()
