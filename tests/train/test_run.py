"""A run: what it leaves in its folder, whose the folder is, and that cutting and resuming changes no bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from launch import mpirun

from shoal.checkpoint.history import generations, open_generation
from shoal.core.errors import CheckpointError, DataError, UsageError
from shoal.mpi import threads
from shoal.mpi.alone import Alone
from shoal.mpi.communicator import Communicator
from shoal.train import loop, run, start
from shoal.train.config import Config, load
from shoal.train.data import open_dataset
from shoal.train.ending import Interrupted
from shoal.train.progress import Silent
from shoal.train.summary import Summary


class Heard(Silent):
    """A screen that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def config(tiny: list[str], tmp_path: Path) -> Any:
    """config("train.epochs=3"): the tiny run, changed."""
    return lambda *settings: load("digits-cnn", [*tiny, f"run.folder={tmp_path / 'run'}", *settings])


def train(config: Config, resume: bool = False, screen: Silent | None = None) -> Summary:
    return start.train(config, Alone(), screen or Silent(), resume)


def weights(folder: Path) -> dict[str, bytes]:
    """Every stored byte of the newest generation, by file."""
    newest = open_generation(folder).path
    return {path.name: path.read_bytes() for path in newest.glob("*.h5")}


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events-0.jsonl").read_text().splitlines()]


@contextmanager
def cut_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C in the middle of the feed that follows `steps` steps of this start."""
    feed, fed = loop.Loop._feed, 0

    def failing(self: loop.Loop, name: str, batch: np.ndarray) -> Any:
        nonlocal fed
        if fed == steps:
            raise KeyboardInterrupt
        fed += 1
        return feed(self, name, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_feed", failing)
        yield


def test_the_folder_holds_all_that_the_run_was_made_of(config: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    summary = train(config())
    complete = replace(config(), data=open_dataset(config().data).config)
    assert load(str(folder / "config.toml")) == complete != config()
    environment = json.loads((folder / "environment.jsonl").read_text())
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["ranks"][0]["threads"] == 1
    epoch = [*5 * ["step"], "epoch", "checkpoint"]
    assert [e["event"] for e in events(folder)] == ["start", "ready", *epoch, *epoch, "memory", "end"]
    assert [e["samples"] for e in events(folder) if e["event"] == "step"] == 2 * [10, 10, 10, 10, 4]
    assert summary.checkpoint == str(open_generation(folder).path)
    assert (summary.steps, summary.ranks, summary.messages, summary.bytes) == (10, 1, 0, 0)
    assert summary.compute + summary.communication + summary.idle == pytest.approx(1)


def test_training_learns(config: Any) -> None:
    assert train(config("train.epochs=12", "optim.lr=0.05")).accuracy == 1


@pytest.mark.parametrize("settings", [[], ["optim.momentum=0"], ["train.dtype=float64"]], ids=["", "plain", "float64"])
def test_two_epochs_are_one_epoch_and_one_resumed_to_the_bit(config: Any, tmp_path: Path, settings: list[str]) -> None:
    whole = train(config(*settings, f"run.folder={tmp_path / 'whole'}"))
    train(config(*settings, "train.epochs=1"))
    resumed = train(config(*settings), resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert (resumed.accuracy, resumed.test_loss, resumed.steps) == (whole.accuracy, whole.test_loss, whole.steps)


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 7])
def test_a_run_cut_anywhere_and_resumed_ends_in_the_same_bits(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    train(config(f"run.folder={tmp_path / 'whole'}"))
    every = "checkpoint.every_steps=3"
    with cut_after(steps, monkeypatch), pytest.raises(KeyboardInterrupt):
        train(config(every))
    train(config(every), resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_synthetic_samples_are_learnt(config: Any) -> None:
    source = ["data.source=synthetic", "data.path=", "data.shape=8,8,1", "data.classes=4", "data.samples=100"]
    assert train(config(*source, "train.epochs=5")).accuracy > 0.8


AUGMENTED = ["data.augment=crop,flip,noise", "data.pad=1", "train.dtype=float64"]


def test_a_run_with_augmentation_cut_within_an_epoch_ends_in_the_same_bits(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(*AUGMENTED, f"run.folder={tmp_path / 'whole'}"))
    plain = train(config("train.dtype=float64", f"run.folder={tmp_path / 'plain'}"))
    assert weights(tmp_path / "whole") != weights(tmp_path / "plain") and whole.loss != plain.loss
    with cut_after(7, monkeypatch), pytest.raises(KeyboardInterrupt):
        train(config(*AUGMENTED, "checkpoint.every_steps=3"))
    train(config(*AUGMENTED), resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_evaluation_never_augments(config: Any, tmp_path: Path) -> None:
    summary = train(config(*AUGMENTED))
    for settings in ([], ["data.augment=", "data.pad=4"]):
        found = start.evaluate_checkpoint(str(tmp_path / "run"), settings, Alone(), Silent())
        assert found.test_loss == summary.test_loss


def test_evaluation_on_other_data_keeps_the_numbers_of_training(config: Any, tmp_path: Path) -> None:
    """Measured anew, the mean of brighter images would hide that they are brighter."""
    arrays = datasets.arrays()
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **{**arrays, "x_train": arrays["x_train"] + 40})
    source = ["data.source=npz", f"data.path={tmp_path / 'a.npz'}"]
    summary = train(config(*source))
    run = str(tmp_path / "run")
    assert open_generation(tmp_path / "run").meta["config"]["data"]["mean"] != [0.0]
    found = start.evaluate_checkpoint(run, [f"data.path={tmp_path / 'b.npz'}"], Alone(), Silent())
    assert found.test_loss == summary.test_loss
    forgotten = ["data.mean=", "data.deviation=", f"data.path={tmp_path / 'b.npz'}"]
    assert start.evaluate_checkpoint(run, forgotten, Alone(), Silent()).test_loss != summary.test_loss


def test_two_ranks_train_on_an_npz_file_as_one_does(config: Any, tmp_path: Path) -> None:
    """The pixels of an augmented sample do not depend on the rank that reads it: in float64 the runs agree."""
    data = datasets.npz(tmp_path)
    settings = [*AUGMENTED, "data.source=npz", f"data.path={data.path}"]
    alone = train(config(*settings))
    code = (
        "import sys; from shoal.cli import main\n"
        f"sys.argv = ['shoal', 'train', {str(tmp_path / 'run' / 'config.toml')!r}, 'run.folder={tmp_path / 'two'}']; main()"
    )
    done = mpirun(2, code)
    assert done.code == 0, done.text
    losses, theirs = ([e["loss"] for e in events(tmp_path / name) if e["event"] == "step"] for name in ("run", "two"))
    assert len(losses) == 8 and theirs == pytest.approx(losses, rel=1e-9)
    assert start.evaluate_checkpoint(str(tmp_path / "two"), [], Alone(), Silent()).test_loss == pytest.approx(
        alone.test_loss
    )


def test_another_seed_gives_other_bits(config: Any, tmp_path: Path) -> None:
    """The comparison above can fail."""
    train(config())
    train(config("train.seed=2", f"run.folder={tmp_path / 'other'}"))
    assert weights(tmp_path / "run") != weights(tmp_path / "other")


def test_an_interrupted_run_names_its_newest_checkpoint(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_after(7, monkeypatch), pytest.raises(Interrupted) as caught:
        train(config())
    newest = open_generation(tmp_path / "run").path
    assert caught.value.problem == f"interrupted after step 7 of 10; the newest checkpoint is {newest}"
    assert "--resume" in caught.value.cure


def test_an_interrupted_run_without_a_checkpoint_says_so(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with cut_after(2, monkeypatch), pytest.raises(Interrupted, match="there is no checkpoint yet"):
        train(config())


def test_saves_come_by_epochs_by_steps_and_at_the_end(config: Any, tmp_path: Path) -> None:
    train(config("checkpoint.every_epochs=0", "checkpoint.every_steps=4", "checkpoint.keep=9"))
    assert [path.name for path in generations(tmp_path / "run")] == ["step-00000010", "step-00000008", "step-00000004"]


def test_a_folder_with_a_checkpoint_is_not_used_again_without_resume(config: Any, tmp_path: Path) -> None:
    train(config("train.epochs=1"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as caught:
        train(config())
    assert "holds the checkpoint of an earlier run" in caught.value.problem
    assert "--resume" in caught.value.cure and "run.folder=" in caught.value.cure
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("holder", [0, 1])
def test_whether_a_folder_holds_a_run_is_for_rank_0_to_say(config: Any, tmp_path: Path, holder: int) -> None:
    """Of two machines with a folder each: the checkpoints are those on rank 0's, and the refusal is everybody's."""
    disks = [tmp_path / "disk-0", tmp_path / "disk-1"]
    train(config("train.epochs=1", f"run.folder={disks[holder]}"))

    def program(comm: Communicator) -> Path | None:
        expected = pytest.raises(UsageError, match="holds the checkpoint of an earlier run")
        with nullcontext() if holder else expected:
            return run.prepare(config(f"run.folder={disks[comm.rank]}"), False, comm)
        return None

    assert threads.run(2, program) == (disks if holder else [None, None])


def test_a_folder_without_a_checkpoint_is_used_again_and_keeps_its_events(config: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events-0.jsonl").write_text('{"event": "old"}\n')
    train(config("train.epochs=1"))
    assert events(tmp_path / "run")[0]["event"] == "old"


def test_resume_with_nothing_to_resume_starts_and_says_so(config: Any) -> None:
    screen = Heard()
    assert train(config("train.epochs=1"), resume=True, screen=screen).steps == 5
    assert any("nothing to resume" in line and "step 0" in line for line in screen.lines)


def test_resuming_a_finished_run_evaluates_it_again(config: Any) -> None:
    done = train(config())
    again = train(config(), resume=True)
    assert (again.test_loss, again.steps, again.checkpoint) == (done.test_loss, done.steps, done.checkpoint)


@pytest.mark.parametrize("setting", ["train.batch=11", "train.seed=5", "train.dtype=float64", "model.name=mlp"])
def test_resume_refuses_what_would_make_it_another_run(config: Any, setting: str) -> None:
    train(config("train.epochs=1"))
    key, value = setting.split("=")
    with pytest.raises(UsageError, match=rf"was trained with {key} = .*, this run has '?{value}"):
        train(config(setting), resume=True)


def test_resume_takes_another_learning_rate(config: Any) -> None:
    train(config("train.epochs=1"))
    assert train(config("optim.lr=0.001"), resume=True).steps == 10


def test_a_damaged_newest_generation_is_passed_over_aloud(config: Any, tmp_path: Path) -> None:
    train(config())
    newest = generations(tmp_path / "run")[0]
    file = next(newest.glob("*.h5"))
    file.write_bytes(file.read_bytes()[:-8])
    screen = Heard()
    assert train(config(), resume=True, screen=screen).steps == 10
    assert any(newest.name in line for line in screen.lines)
    assert any("resuming" in line and "step-00000005" in line for line in screen.lines)


def test_the_test_figures_of_eval_are_those_of_training(config: Any, tmp_path: Path) -> None:
    summary = train(config())
    for path in (tmp_path / "run", open_generation(tmp_path / "run").path):
        found = start.evaluate_checkpoint(str(path), [], Alone(), Silent())
        assert (found.accuracy, found.test_loss, found.samples) == (summary.accuracy, summary.test_loss, 10)


def test_eval_takes_the_data_from_elsewhere_if_told(config: Any, tmp_path: Path, idx_folder: Path) -> None:
    train(config("train.epochs=1"))
    idx_folder.rename(tmp_path / "moved")
    with pytest.raises(DataError):
        start.evaluate_checkpoint(str(tmp_path / "run"), [], Alone(), Silent())
    found = start.evaluate_checkpoint(str(tmp_path / "run"), [f"data.path={tmp_path / 'moved'}"], Alone(), Silent())
    assert found.samples == 10


def test_eval_of_a_folder_without_a_checkpoint_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        start.evaluate_checkpoint(str(tmp_path), [], Alone(), Silent())


def test_an_unwritable_folder_is_found_before_anything_else(config: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"run folder .*file/run cannot be written: Not a directory"):
        train(config(f"run.folder={tmp_path / 'file' / 'run'}", "data.path=/nowhere"))
