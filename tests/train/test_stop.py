"""When a run ends before its last epoch, which of its epochs is kept, and that resuming changes none of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import killed_at

from shoal.checkpoint.history import best, generations, newest
from shoal.core.errors import CheckpointError, UsageError
from shoal.mpi.alone import Alone
from shoal.mpi.threads import run
from shoal.train import loop, pulse, start
from shoal.train.config import Config, load
from shoal.train.metrics import Metrics
from shoal.train.progress import Silent
from shoal.train.summary import Summary
from shoal.train.watch import Watch


@pytest.fixture
def config(tiny: list[str], tmp_path: Path) -> Any:
    """config("train.epochs=3"): the tiny run of 5 steps an epoch, changed."""
    return lambda *settings: load("digits-cnn", [*tiny, f"run.folder={tmp_path / 'run'}", *settings])


def train(config: Config, resume: bool = False, screen: Silent | None = None) -> Summary:
    return start.train(config, Alone(), screen or Silent(), resume)


def evaluation(path: Path, *settings: str, best: bool = False) -> start.Evaluation:
    return start.evaluate_checkpoint(str(path), list(settings), Alone(), Silent(), best)


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in generations(folder))


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "events-0.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """scripted(0.3, 0.2, 0.4): the test losses that the coming epochs are said to have; the last one stays."""

    coming, figures = [], Metrics.figures

    def said(self: Metrics, loss: float) -> Any:
        return figures(self, coming.pop(0) if len(coming) > 1 else coming[0])

    def script(*losses: float) -> None:
        coming[:] = losses
        monkeypatch.setattr(Metrics, "figures", said)

    return script


class Clock:
    """A clock that a step of rank 0 moves on by so many seconds, and nothing else does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float):
        self.time, feed = 0.0, loop.Loop._feed

        def timed(that: loop.Loop, name: str, batch: np.ndarray) -> Any:
            self.time += seconds * (that.job.comm.rank == 0)
            return feed(that, name, batch)

        monkeypatch.setattr(loop.Loop, "_feed", timed)
        monkeypatch.setattr(pulse, "now", lambda: self.time)


# ---------------------------------------------------------------------------------------------------- the watch


def seen(figure: str, *values: float, patience: int = 0) -> Watch:
    watch = Watch(figure, patience)
    for i, value in enumerate(values):
        watch.see({"test_loss": value, "f1": value}, 10 * i)
    return watch


def test_better_is_strictly_better_and_a_nan_never_is() -> None:
    assert seen("loss", 3, 2, 2, float("nan")).best == {"figure": "loss", "value": 2, "step": 10}
    assert seen("f1", 3, 2, 4, 4).best == {"figure": "f1", "value": 4, "step": 20}
    assert seen("loss", float("nan")).best is None and seen("loss", float("nan")).merit is None
    assert (seen("loss", 3, 2).merit, seen("f1", 3, 2).merit) == (("loss", -2), ("f1", 3))


def test_patience_counts_epochs_since_the_best() -> None:
    assert not seen("loss", 3, 4, 2, 4, patience=2).over and seen("loss", 3, 2, 4, 2, patience=2).over
    assert not seen("loss", *range(99), patience=0).over


def test_a_watch_continues_unless_it_looked_at_another_figure() -> None:
    old, same, other = seen("loss", 3, 4), Watch("loss"), Watch("f1")
    same.load_state(old.state())
    other.load_state(old.state())
    assert same.state() == old.state() and other.state() == Watch("f1").state()


# ---------------------------------------------------------------------------------------------------- the best epoch


def test_the_best_epoch_is_kept_beside_the_newest_and_evaluated_by_name(
    config: Any, tmp_path: Path, scripted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(0.4, 0.2, 0.3, 0.25)
    summary = train(config("train.epochs=4", "checkpoint.best=loss", "checkpoint.keep=1"))
    assert steps(tmp_path / "run") == [10, 20]
    assert summary.best == {"figure": "loss", "value": 0.2, "step": 10}
    assert ("best checkpoint", "loss 0.2000 at step 10") in summary.rows()
    monkeypatch.undo()
    found, last = evaluation(tmp_path / "run", best=True), evaluation(tmp_path / "run")
    assert found.checkpoint.endswith("step-00000010") and last.checkpoint.endswith("step-00000020")
    assert found.test_loss != last.test_loss


def test_the_best_epoch_is_saved_where_no_save_was_due(
    config: Any, tmp_path: Path, scripted: Callable[..., None]
) -> None:
    scripted(0.4, 0.2, 0.3)
    train(config("train.epochs=3", "checkpoint.best=loss", "checkpoint.every_epochs=0"))
    assert steps(tmp_path / "run") == [5, 10, 15]  # the best so far, the best, the end


def test_an_epoch_that_was_saved_by_its_steps_is_saved_again_with_its_merit(config: Any, tmp_path: Path) -> None:
    train(config("train.epochs=1", "checkpoint.best=accuracy", "checkpoint.every_steps=5"))
    found = best(tmp_path / "run")
    assert found is not None and found.meta["watch"]["figure"] == "accuracy"


def test_without_best_there_is_none_to_evaluate(config: Any, tmp_path: Path) -> None:
    train(config("train.epochs=1"))
    with pytest.raises(CheckpointError, match="no checkpoint of which a merit is known"):
        evaluation(tmp_path / "run", best=True)


def test_a_resumed_run_remembers_the_best(config: Any, tmp_path: Path, scripted: Callable[..., None]) -> None:
    settings = ("checkpoint.best=loss", "checkpoint.keep=1")
    scripted(0.2)
    train(config("train.epochs=1", *settings))
    scripted(0.3)
    assert train(config("train.epochs=3", *settings), resume=True).best == {"figure": "loss", "value": 0.2, "step": 5}
    assert steps(tmp_path / "run") == [5, 15]


def test_a_run_killed_while_the_best_is_replaced_resumes_to_the_same_end(
    config: Any, tmp_path: Path, scripted: Callable[..., None]
) -> None:
    settings = ("train.epochs=3", "checkpoint.best=loss", "checkpoint.keep=1")
    scripted(0.4, 0.2, 0.3)
    train(config(*settings, f"run.folder={tmp_path / 'whole'}"))
    scripted(0.4, 0.2, 0.3)
    assert killed_at("step-00000005 disowned", lambda: train(config(*settings)))
    scripted(0.3)
    assert train(config(*settings), resume=True).best == {"figure": "loss", "value": 0.2, "step": 10}
    for choose in (newest, best):
        cut, whole = choose(tmp_path / "run"), choose(tmp_path / "whole")
        assert cut is not None and whole is not None
        assert [f.sha256 for f in cut.manifest.files] == [f.sha256 for f in whole.manifest.files]


# ---------------------------------------------------------------------------------------------------- early stop


def test_a_run_stops_when_nothing_gets_better_and_says_so(
    config: Any, tmp_path: Path, scripted: Callable[..., None]
) -> None:
    scripted(0.4, 0.2, 0.3, 0.2)
    summary = train(config("train.epochs=9", "train.patience=2"))
    assert (summary.steps, summary.stopped) == (20, "no better loss for 2 epochs")
    assert ("stopped early", summary.stopped) in summary.rows() and summary.facts()["stopped"] == summary.stopped
    assert [(e["step"], e["reason"]) for e in events(tmp_path / "run", "stopped")] == [(20, summary.stopped)]


def test_a_run_that_gets_better_does_not_stop(config: Any, scripted: Callable[..., None]) -> None:
    scripted(0.4, 0.3, 0.2)
    summary = train(config("train.epochs=3", "train.patience=1"))
    assert (summary.steps, summary.stopped) == (15, "")
    assert "stopped early" not in dict(summary.rows())


def test_the_last_epoch_is_the_end_whatever_the_patience(config: Any, scripted: Callable[..., None]) -> None:
    scripted(0.2, 0.3)
    assert train(config("train.epochs=2", "train.patience=1")).stopped == ""


def test_resume_keeps_the_count(config: Any, scripted: Callable[..., None]) -> None:
    scripted(0.2, 0.3)
    train(config("train.epochs=2", "train.patience=2"))
    scripted(0.3)
    assert train(config("train.epochs=9", "train.patience=2"), resume=True).steps == 15
    again = train(config("train.epochs=9", "train.patience=2"), resume=True)
    assert (again.steps, again.stopped) == (15, "no better loss for 2 epochs")  # nothing has changed
    assert train(config("train.epochs=9", "train.patience=3"), resume=True).steps == 20


def test_the_best_by_a_metric_is_also_what_patience_waits_for(config: Any) -> None:
    summary = train(config("train.epochs=9", "train.patience=1", "checkpoint.best=f1", "optim.lr=0"))
    assert (summary.steps, summary.stopped) == (10, "no better f1 for 1 epochs")
    assert list(summary.figures) == ["test_loss", "accuracy", "f1", "precision", "recall"]


# ---------------------------------------------------------------------------------------------------- the time limit


def test_the_step_that_crosses_the_limit_is_the_last_and_resume_goes_on(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(f"run.folder={tmp_path / 'whole'}"))
    Clock(monkeypatch, seconds=10)
    stopped = train(config("train.minutes=1.1"))
    assert (stopped.steps, stopped.stopped) == (7, "the time limit of 1.1 minutes")
    assert stopped.checkpoint.endswith("step-00000007") and steps(tmp_path / "run") == [5, 7]
    assert stopped.test_loss == evaluation(tmp_path / "run").test_loss != whole.test_loss
    resumed = train(config("train.minutes=1.1"), resume=True)
    assert (resumed.steps, resumed.stopped, resumed.test_loss) == (10, "", whole.test_loss)


def test_a_limit_that_an_epoch_crosses_counts_the_epoch(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, seconds=60)
    assert train(config("train.minutes=5")).steps == 5
    assert len(events(tmp_path / "run", "epoch")) == 1


def test_a_limit_that_the_start_used_up_leaves_one_step(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of jobs that are all too short would otherwise compile, save nothing, and never end."""
    clock, warm_up = Clock(monkeypatch, seconds=1), loop.Loop.warm_up

    def slow(that: loop.Loop) -> None:
        clock.time += 1000
        warm_up(that)

    monkeypatch.setattr(loop.Loop, "warm_up", slow)
    assert train(config("train.minutes=1")).steps == 1
    assert train(config("train.minutes=1"), resume=True).steps == 2


def test_two_ranks_stop_after_the_same_step_and_save_one_state(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, seconds=10)
    settings = config("train.minutes=1.1", "checkpoint.best=loss")
    ended = run(2, lambda comm: start.train(settings, comm, Silent()))
    assert [(one.steps, one.stopped, one.best) for one in ended] == 2 * [
        (7, "the time limit of 1.1 minutes", ended[0].best)
    ]
    assert steps(tmp_path / "run") == [5, 7] and ended[0].best["step"] == 5


def test_a_metric_that_the_targets_do_not_have_is_refused_before_training(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.train.metrics.classes", lambda outputs, target: 0)
    with pytest.raises(UsageError, match=r"train.metrics = f1 needs classes"):
        train(config("train.metrics=f1"))
    assert not (tmp_path / "run" / "events-0.jsonl").exists()
