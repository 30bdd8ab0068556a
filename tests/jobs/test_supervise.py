"""shoal run: which worlds are started again, how often, on how many ranks, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faked import Launcher
from typer.testing import CliRunner

from shoal.checkpoint.store import Store
from shoal.cli import app
from shoal.core.errors import UsageError
from shoal.core.spec import Spec, State
from shoal.jobs import supervise as supervision
from shoal.jobs.command import Command
from shoal.jobs.supervise import fewer
from shoal.mpi.alone import Alone
from shoal.train.config import load


@pytest.fixture
def launcher(tmp_path: Path) -> Callable[..., Launcher]:
    return lambda *acts: Launcher(tmp_path, *acts)


# ---------------------------------------------------------------------------------------------------- which codes


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 75, 130])
def test_a_code_that_a_restart_would_meet_again_or_that_was_asked_for_ends_it(
    launcher: Any, capfd: Any, code: int
) -> None:
    fake = launcher(f"step(1); sys.exit({code})")
    assert fake.supervised() == code
    assert len(fake.starts) == 1
    assert f"shoal run: ended with code {code} (" in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "act, code, words",
    [
        ("sys.exit(1)", 1, "diverged, or an error nobody expected"),
        ("sys.exit(6)", 6, "a rank died"),
        ("sys.exit(7)", 7, "stalled"),
        ("sys.exit(137)", 137, "killed by SIGKILL"),
        ("sys.exit(143)", 143, "killed by SIGTERM"),
        ("sys.exit(213)", 213, "an end from outside"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "killed by SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 139, "killed by SIGSEGV"),
        (
            "os._exit(0)",
            6,
            "a rank died",
        ),  # as Open MPI's mpirun does where it loses a node: the run's last word is missing
    ],
)
def test_any_other_code_is_a_death_and_starts_it_again(
    launcher: Any, capfd: Any, act: str, code: int, words: str
) -> None:
    fake = launcher(f"step(1); {act}", "sys.exit(0)")
    assert fake.supervised() == 0
    first, second = fake.starts
    assert first == fake.words[1:]
    assert second == [*first[:4], "--resume", *first[4:]]
    assert capfd.readouterr().err.splitlines() == [
        f"shoal run: the world ended with code {code} ({words}); restart 1 of 3 starts at step 0: nothing was saved",
        "shoal run: ended with code 0 (done) after 1 restart",
    ]


def test_it_is_started_again_so_often_and_no_more(launcher: Any, capfd: Any) -> None:
    fake = launcher(*(f"step({i}); sys.exit(137)" for i in range(9)))
    assert fake.supervised(restarts=2) == 137
    assert len(fake.starts) == 3
    assert capfd.readouterr().err.endswith("(killed by SIGKILL) after 2 restarts: no restart is left\n")
    assert fake.supervised(restarts=0) == 137
    assert len(fake.starts) == 4


# ---------------------------------------------------------------------------------------------------- no progress


def save(folder: Path, step: int) -> None:
    with Store(folder, Alone()) as store:
        store.save(State({"model/0.bias": (Spec("0.bias", (1,)), np.ones(1))}, {"step": step}))


@pytest.mark.parametrize(
    "acts, starts",
    [
        (["sys.exit(1)"] * 2, 2),  # dies before the first step
        (["step(7); sys.exit(1)"] * 3, 3),  # the first death had come further than any before
        (["step(7); sys.exit(1)", "step(5); sys.exit(1)", "step(8); sys.exit(1)", "sys.exit(0)"], 4),
        (["step(7); sys.exit(1)", "step(5); sys.exit(1)", "step(6); sys.exit(1)"], 3),
        (["run.joinpath('events-0.jsonl').write_text('{\"event\": \"st'); sys.exit(1)"] * 2, 2),  # a torn line
    ],
)
def test_two_deaths_in_a_row_without_progress_end_it(launcher: Any, capfd: Any, acts: list[str], starts: int) -> None:
    fake = launcher(*acts)
    assert fake.supervised(restarts=9) == (0 if "exit(0)" in acts[-1] else 1)
    assert len(fake.starts) == starts
    assert ("two deaths in a row without" in capfd.readouterr().err) == ("exit(0)" not in acts[-1])


def test_a_newer_checkpoint_is_progress_and_is_named(launcher: Any, monkeypatch: Any, capfd: Any) -> None:
    fake, steps = launcher(), [10, 20, 20, 30]

    def dies(command: Command, folder: Path, silence: float, asked: list[int]) -> int:
        save(folder, steps.pop(0))
        return 137 if steps else 0

    monkeypatch.setattr(supervision, "world", dies)
    assert fake.supervised() == 0
    said = capfd.readouterr().err.splitlines()
    named = [line.partition(" continues from ")[2] for line in said[:-1]]
    assert named == [f"{fake.run}/generations/step-{step:08d}" for step in (10, 20, 20)]


def test_a_damaged_checkpoint_is_not_named(launcher: Any, monkeypatch: Any, capfd: Any) -> None:
    fake = launcher("sys.exit(137)", "sys.exit(5)")
    save(fake.run, 10)
    save(fake.run, 20)
    (fake.run / "generations" / "step-00000020" / "rank-0000.h5").write_bytes(b"")
    assert fake.supervised() == 5
    assert "continues from" in (said := capfd.readouterr().err) and "step-00000010" in said


# ---------------------------------------------------------------------------------------------------- fewer ranks


@pytest.mark.parametrize(
    "settings, counts",
    [
        ([], ["4", "3", "2", "1", "1"]),
        (["parallel.mesh.pipeline=2"], ["4", "2", "2"]),
        (["parallel.mesh.data=4"], ["4", "4"]),
    ],
)
def test_with_fewer_each_restart_has_the_next_number_of_ranks_that_fills_the_mesh(
    launcher: Any, capfd: Any, settings: list[str], counts: list[str]
) -> None:
    fake = launcher(*(f"step({i}); sys.exit(137)" for i in range(len(counts) - 1)), "sys.exit(0)")
    assert fake.supervised(*settings, fewer=True, restarts=9) == 0
    assert [start[1] for start in fake.starts] == counts
    said = capfd.readouterr().err
    assert f"{counts[-1]} ranks are the fewest" in said
    assert len(settings) or "3 ranks instead of 4: the same as serial up to rounding, not the same bits" in said


def test_shares_are_of_ranks_so_fewer_is_refused_before_the_start(launcher: Any) -> None:
    fake = launcher("sys.exit(0)")
    with pytest.raises(UsageError, match=r"parallel.shares = \[3.0, 1.0, 1.0, 1.0\] belong to ranks"):
        fake.supervised("parallel.shares=3,1,1,1", fewer=True)
    with pytest.raises(UsageError, match="no number of ranks"):
        fewer(Command.of(["mpirun", "shoal", "train", "digits-cnn"]), load("digits-cnn"))
    assert not (fake.here / "starts").exists()


# ---------------------------------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "there is no command after --"),
        (["--"], "there is no command after --"),
        (["--", "mpirun", "-n", "2", "python", "train.py"], 'has no "shoal train" in it'),
        (["--", "mpirunn", "-n", "2", "shoal", "train", "digits-cnn"], "there is no program mpirunn"),
        (["--", "env", "shoal", "train", "digits-cnn", "train.epoch=3"], "train.epoch is not a key"),
        (["--", "env", "shoal", "train", "digits"], 'no preset "digits"'),
        (["--", "env", "shoal", "train"], "preset"),
        (["--", "env", "shoal", "train", "digits-cnn", "--resum"], "--resum"),
        (["--", "env", "shoal", "train", "digits-cnn", "--dry-run"], "--dry-run does not train"),
        (["--", "env", "--chdir=/tmp", "shoal", "train", "digits-cnn"], "runs/digits-cnn is not here"),
        (["--fewer", "--", "env", "shoal", "train", "digits-cnn"], "no number of ranks"),
        (["--fewer", "env", "shoal", "train", "digits-cnn"], "no number of ranks"),  # without --
    ],
)
def test_wrong_use_is_code_2_with_a_cure(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["run", *words])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ") and "\ncure:  " in done.stderr and said in done.stderr
