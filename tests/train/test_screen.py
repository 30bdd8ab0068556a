"""What a person sees: the bar and the table on real terminals, wide and narrow, alone and under mpirun."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from launch import ROOT_MAY, launcher
from screen import Screen, Terminal

TINY = ["data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=50", "train.batch=8"]
TRAIN = [sys.executable, "-m", "shoal", "train", "digits-cnn", *TINY, "train.backend=reference"]
BAR = re.compile(r"^(warm-up|epoch \d+/\d+) .*━", re.MULTILINE)

# Draws a bar step by step, as a file grows by a line: every frame waits to be looked at.
STEPS = """
import sys, time
from pathlib import Path
from shoal.mpi.strategy import Report
from shoal.train.pace import Pace
from shoal.train.progress import screen

bar, pace = screen(None, 0), Pace(total=1000)
bar.prepare()
for step in range(4):
    while len(Path(sys.argv[1]).read_text()) <= step:
        time.sleep(0.01)
    bar.drawn = 0.0
    pace.spend(1.0, 0.25, 0.05)
    pace.add(Report(step, 123_456, 2.0, 50, 100.0))
    bar.step(f"epoch {step + 1}/4", pace)
    if step == 1:
        bar.say("a line that stays")
    if step == 2:
        print("a word of another rank", file=sys.__stderr__, flush=True)
bar.close()
"""


def mpirun(*command: str) -> list[str]:
    return [launcher(), "--oversubscribe", "--bind-to", "none", "--mca", "osc", "^ucx", "-n", "1", *command]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    path.touch()
    return path


def bars(text: str) -> list[str]:
    return [match[0] for match in BAR.finditer(text)]


NOTES = {
    20: "epoch 1/4 ━+",
    28: r"epoch 1/4 ━+ loss 2\.0000",
    40: r"epoch 1/4 ━+ loss 2\.0000  16:39 left",
    60: r"epoch 1/4 ━+ loss 2\.0000  16:39 left  123,456/s",
    80: r"epoch 1/4 ━+ loss 2\.0000  16:39 left  123,456/s  comp 70% comm 25% idle 5%",
}


@pytest.mark.parametrize("columns", NOTES)
def test_a_narrow_terminal_shows_fewer_notes_and_never_half_a_one(columns: int, gate: Path) -> None:
    gate.write_text("1")
    with Terminal([sys.executable, "-c", STEPS, str(gate)], columns) as terminal:
        terminal.until(lambda text: "epoch 1/4" in text)
        assert re.fullmatch(NOTES[columns], terminal.screen.text), terminal.screen.text
        assert terminal.screen.cursor


def test_under_mpirun_the_bar_is_seen_before_its_line_has_ended(gate: Path) -> None:
    """Open MPI 5 hands on whole lines only, and for the whole of an epoch nothing was to be seen."""
    with Terminal(mpirun(sys.executable, "-c", STEPS, str(gate)), 60, **ROOT_MAY) as terminal:
        terminal.until(lambda text: "warm-up" in text)
        for step in (1, 2):
            gate.write_text("1" * step)
            terminal.until(lambda text, step=step: f"epoch {step}/4" in text)
        assert len(bars(terminal.screen.text)) == 1
        gate.write_text("1111")
        assert terminal.ended() == 0


def test_the_bar_is_redrawn_in_place_and_what_is_said_stays_above(gate: Path) -> None:
    with Terminal([sys.executable, "-c", STEPS, str(gate)], 60) as terminal:
        gate.write_text("11")
        terminal.until(lambda text: "stays" in text and "epoch 2/4" in text)
        first, second = terminal.screen.text.splitlines()
        assert first == "a line that stays" and second.startswith("epoch 2/4 ")
        gate.write_text("111")
        terminal.until(lambda text: "another rank" in text)
        gate.write_text("1111")
        assert terminal.ended() == 0
        shown = terminal.screen.text.splitlines()
        assert shown[2] == "a word of another rank" and [line[:9] for line in (shown[1], shown[3])] == [
            "epoch 3/4",
            "epoch 4/4",
        ]


def test_a_window_may_be_resized(gate: Path) -> None:
    with Terminal([sys.executable, "-c", STEPS, str(gate)], 80) as terminal:
        gate.write_text("1")
        terminal.until(lambda text: "epoch 1/4" in text)
        terminal.screen.feed("\r\x1b[2K")  # what becomes of a line that is too wide is the terminal's choice
        terminal.resize(40)
        gate.write_text("11")
        terminal.until(lambda text: "epoch 2/4" in text)
        assert re.fullmatch(r"epoch 2/4 ━+ loss 2\.0000  16:38 left", terminal.screen.text.splitlines()[-1])


def test_a_terminal_that_cannot_redraw_gets_lines(gate: Path) -> None:
    gate.write_text("1111")
    with Terminal([sys.executable, "-c", STEPS, str(gate)], 60, TERM="dumb") as terminal:
        assert terminal.ended() == 0
        assert not bars(terminal.screen.text) and "a line that stays" in terminal.screen.text


@pytest.mark.parametrize("no, colours", [("", True), ("1", False)])
def test_there_is_colour_unless_nobody_wants_it(no: str, colours: bool, gate: Path) -> None:
    gate.write_text("1111")
    with Terminal([sys.executable, "-c", STEPS, str(gate)], 60, NO_COLOR=no) as terminal:
        assert terminal.ended() == 0
        assert terminal.screen.colours is colours


@pytest.mark.parametrize("columns, boxed", [(30, False), (50, True)])
def test_a_run_ends_with_one_bar_and_a_table_that_fits(columns: int, boxed: bool, tmp_path: Path) -> None:
    folder = tmp_path / ("[bold]long" + 3 * "-and-longer")
    with Terminal([*mpirun(*TRAIN), "train.epochs=2", f"run.folder={folder}"], columns, **ROOT_MAY) as terminal:
        assert terminal.ended() == 0, terminal.screen.text
    text = terminal.screen.text
    assert len(bars(text)) == 1
    assert all(len(re.findall(f"^epoch {n}/2:", text, re.MULTILINE)) == 1 for n in (1, 2))
    table = text[BAR.search(text).end() :].partition("\n")[2]  # type: ignore[union-attr]
    assert ("│" in table) == boxed
    assert "[bold]long" in re.sub(r"[\s│]", "", table)
    if boxed:
        assert len({len(line) for line in table.splitlines()}) == 1  # nothing wrapped


def test_ctrl_c_is_answered_on_a_line_of_its_own_and_leaves_a_cursor(tmp_path: Path) -> None:
    with Terminal([*TRAIN, "train.epochs=100000", f"run.folder={tmp_path / 'run'}"], 60) as terminal:
        terminal.until(lambda text: "epoch 2/100000" in text)
        terminal.type("\x03")
        assert terminal.ended() == 130
    lines = terminal.screen.text.splitlines()
    assert "ending after this step, with a checkpoint; Ctrl-C again ends" in lines  # at once, on the next
    assert any(line.startswith("error: interrupted") for line in lines)
    assert any(line.startswith("cure:  the same command with --resume") for line in lines)
    assert terminal.screen.cursor


def test_the_screen_wraps_and_knows_what_it_does_not_know() -> None:
    screen = Screen(4)
    screen.feed("abcd\r\x1b[2Kxy\nz" + "\r" + "12345")
    assert screen.rows == ["xy", "1234", "5"]
    with pytest.raises(AssertionError, match="unknown"):
        screen.feed("\x1b[3J")
