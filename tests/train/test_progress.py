"""What is shown, to whom: pace, plain lines, the bar, and the last table."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest
from launch import mpirun

from shoal.core.errors import UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.strategy import Report
from shoal.train import progress
from shoal.train.pace import Pace, clock
from shoal.train.summary import show, size, summarise


def pace() -> Pace:
    made = Pace(total=10)
    for step in range(4):
        made.spend(1.0, communication=0.25, idle=0.05)
        made.add(Report(step, samples=100, loss=2.0 - step, right=50, mass=100.0))
    return made


def test_the_parts_of_the_time_add_up_to_all_of_it() -> None:
    assert pace().shares() == pytest.approx({"compute": 0.7, "communication": 0.25, "idle": 0.05})
    assert sum(Pace(total=3).shares().values()) == 0


def test_speed_and_time_left_come_from_this_start_only() -> None:
    assert pace().speed == 100
    assert pace().left == 6.0
    resumed = Pace(total=10, done=8)
    resumed.spend(3.0, 0, 0)
    resumed.add(Report(8, 100, 1.0, 1, 100.0))
    assert (resumed.done, resumed.left) == (9, 3.0)


def test_the_loss_is_smoothed() -> None:
    assert pace().loss == pytest.approx(0.9 * (0.9 * (0.9 * 2 + 0.1 * 1) + 0.1 * 0) + 0.1 * -1)


@pytest.mark.parametrize("seconds, shown", [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (11109, "3:05:09")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize("count, shown", [(0, "0 bytes"), (999, "999 bytes"), (5_780_000, "5.78 MB"), (2e12, "2 TB")])
def test_size(count: float, shown: str) -> None:
    assert size(count) == shown


def test_only_rank_0_speaks() -> None:
    assert type(progress.screen("bar", rank=1)) is progress.Silent
    assert type(progress.screen("none", rank=0)) is progress.Silent
    assert type(progress.screen("lines", rank=0)) is progress.Lines


def test_the_environment_decides_where_the_command_line_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_PROGRESS", "none")
    assert type(progress.screen(None, rank=0)) is progress.Silent
    assert type(progress.screen("lines", rank=0)) is progress.Lines
    monkeypatch.setenv("SHOAL_PROGRESS", "noise")
    with pytest.raises(UsageError, match='progress "noise" is not known'):
        progress.screen(None, rank=0)


def test_a_file_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines, running = progress.Lines(), Pace(total=1000)
    lines.prepare()
    for step in range(250):
        running.spend(0.01, 0, 0)
        running.add(Report(step, 10, 1.0, 5, 10.0))
        lines.step("epoch 1/4", running)
    out = capsys.readouterr().err.splitlines()
    assert len(out) == 2
    assert out[0].startswith("epoch 1/4, step 100/1000: loss 1.0000, 1,000 samples/s, 0:09 left, compute 100%")


def test_compilation_is_announced_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.Lines()
    lines.prepare()
    for name, cached in (("gemm.a", True), ("gemm.b", False), ("conv2d.c", False)):
        lines.made(name, None, False)
        lines.made(name, 0.5, cached)
    lines.ready()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("compiling kernels")
    assert last.endswith("3 kernels ready, 2 compiled by this rank")


def test_the_bar_can_be_forced_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress.screen("bar", rank=0)
    bar.prepare()
    bar.made("gemm.b", None, False)
    bar.ready()
    bar.step("epoch 4/4", replace(pace(), total=4))
    bar.say("epoch 1/4: done")
    bar.close()
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("now gemm.b", "first step", "loss", "epoch 1/4: done", "\x1b["))


def test_the_last_table_is_plain_where_it_goes_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"test_loss": 0.5, "accuracy": 0.975}
    show(summarise(Alone(), pace(), figures, "runs/x/generations/step-00000010"))
    shown = capsys.readouterr().out
    assert "97.50%" in shown and "compute 70%, communication 25%, idle 5%" in shown and "step-00000010" in shown
    assert "\x1b[" not in shown


WIDTHS = "from shoal.train.terminal import width; print('width', width(1), width(2))"


def test_a_pipe_is_no_terminal_and_a_terminal_is_one() -> None:
    piped = subprocess.run([sys.executable, "-c", WIDTHS], capture_output=True, text=True, check=True, timeout=60)
    assert piped.stdout == "width None None\n"
    assert on_a_terminal([sys.executable, "-c", WIDTHS]) == "width 77 77"


def test_under_mpirun_the_launcher_is_asked() -> None:
    assert mpirun(1, WIDTHS).out[0] == ["width None None"]


def on_a_terminal(command: list[str]) -> str:
    """The last line of a command whose output is a pseudo-terminal of 77 columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 77, 0, 0))
    subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    return shown.strip().splitlines()[-1]
