"""A run that is killed and resumed is the run that was not, to the bit; what it may change it says, and what it needs it misses.

Runs are killed by SIGKILL as one rank is about to feed a given batch; whatever the other ranks do then, nobody is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import killed_at

from shoal.checkpoint import commit
from shoal.checkpoint.generation import Generation
from shoal.checkpoint.history import generations, open_generation
from shoal.core.spec import Spec
from shoal.mpi.alone import Alone
from shoal.mpi.synchronous import Synchronous
from shoal.mpi.threads import run
from shoal.nn import BatchNorm, Conv2d, Dropout, GlobalAvgPool, Linear, Sequential
from shoal.nn.models import MODELS, Entry
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent
from shoal.train.summary import Summary

STEPS, SAVED, KILLED = 20, 10, 13  # of 4 in an epoch, the last of them ragged: saved and killed within one
RUN = ["model.name=small", "train.batch=12", "train.epochs=5", "train.patience=50", "parallel.cut=count", "parallel.deadline=30"]
SAVES = ["checkpoint.every_epochs=0", f"checkpoint.every_steps={SAVED}"]
AUGMENTED = ["data.augment=crop,flip,noise", "data.pad=1"]
MOMENTUM = ["optim.nesterov=true", "optim.clip_norm=0.5", "optim.schedule=cosine", "optim.warmup_steps=3"]
ADAM = ["optim.name=adam", "optim.lr=0.01", "optim.weight_decay=0.01", "optim.schedule=polynomial", "optim.warmup_steps=3"]
RULES = {"momentum": MOMENTUM, "adam": ADAM}
PIPELINE = ["parallel.mesh.pipeline=2", "train.micro_batches=3"]
STRATEGIES: dict[str, tuple[int, list[str]]] = {
    "serial": (1, []),
    "equal": (2, []),
    "uneven": (2, ["parallel.shares=3,1", "train.micro_batches=2", "parallel.norm=share"]),
    "1f1b": (2, PIPELINE),
    "gpipe": (2, [*PIPELINE, "parallel.schedule=gpipe"]),
    "mesh": (4, [*PIPELINE, "parallel.shares=3,1"]),
}


def small(classes: int = 4) -> Sequential:
    """Running statistics and dropout, in a few hundred weights."""
    return Sequential(
        Conv2d(4, 3, padding="same", bias=False),
        BatchNorm(activation="relu"),
        Dropout(0.2),
        Conv2d(6, 3, stride=2),
        BatchNorm(activation="relu"),
        GlobalAvgPool(),
        Linear(classes),
    )


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(autouse=True)
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the models be known, and killed_at kill as a rank comes to a step."""
    feed = Synchronous.feed

    def told(self: Synchronous, batch: np.ndarray) -> Any:
        commit.boundary(f"step {self.step} on rank {self.communicator.rank}")
        return feed(self, batch)

    monkeypatch.setitem(MODELS, "small", Entry(small, (8, 8, 1), 4))
    monkeypatch.setattr(Synchronous, "feed", told)


@pytest.fixture
def train(tiny: list[str], tmp_path: Path) -> Callable[..., tuple[Summary, list[str]]]:
    """train("run", ranks, *settings): (summary, what rank 0 said) of a run in the folder of that name."""

    def trained(name: str, ranks: int, *settings: str, resume: bool = False) -> tuple[Summary, list[str]]:
        config = load("digits-cnn", [*tiny, *RUN, *settings, f"run.folder={tmp_path / name}"])
        screens = [Heard() for _ in range(ranks)]
        program = lambda c: start.train(config, c, screens[c.rank], resume)  # noqa: E731
        found = run(ranks, program, backend="reference") if ranks > 1 else [program(Alone())]
        return found[0], screens[0].lines

    return trained


@pytest.fixture
def cut(train: Any) -> Callable[..., None]:
    """cut("run", ranks, *settings): a run that is killed at step KILLED, as its last rank comes to it."""

    def killed(name: str, ranks: int, *settings: str) -> None:
        assert killed_at(f"step {KILLED} on rank {ranks - 1}", lambda: train(name, ranks, *SAVES, *settings))

    return killed


def tensors(folder: Path) -> dict[str, bytes]:
    """All that the newest generation holds: weights, buffers, slots."""
    generation = open_generation(folder)
    stored = {one.name: one for file in generation.manifest.files for one in file.slices}
    return {name: generation.read(name, Spec(name, one.global_shape)).tobytes() for name, one in stored.items()}


def facts(folder: Path) -> dict[str, Any]:
    """Those of the newest generation that do not depend on where it lies and when it was saved."""
    return {key: value for key, value in open_generation(folder).meta.items() if key not in ("config", "life")}


def events(folder: Path, rank: int, name: str) -> list[dict[str, Any]]:
    lines = (folder / f"events-{rank}.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def told(folder: Path, rank: int) -> tuple[dict[int, Any], dict[int, Any]]:
    """({step: (samples, loss)}, {epoch: figures}): a step that was done twice was the same both times."""
    steps = [(event["step"], (event["samples"], event["loss"])) for event in events(folder, rank, "step")]
    epochs = [{k: v for k, v in event.items() if k != "t"} for event in events(folder, rank, "epoch")]
    assert set(steps) == set(dict(steps).items())
    return dict(steps), {event["epoch"]: event for event in epochs}


def same(tmp_path: Path, ranks: int) -> bool:
    """Whether the runs "whole" and "run" are one, to the bit."""
    whole, cut = tmp_path / "whole", tmp_path / "run"
    return (tensors(whole), facts(whole)) == (tensors(cut), facts(cut)) and all(
        told(whole, rank) == told(cut, rank) for rank in range(ranks)
    )


# ---------------------------------------------------------------------------------------------------- to the bit


QUICK = [("serial", "momentum"), ("equal", "adam"), ("uneven", "momentum"), ("1f1b", "adam"), ("gpipe", "momentum"), ("mesh", "adam")]
LONG = [(name, rule) for name in STRATEGIES for rule in RULES if (name, rule) not in QUICK]


@pytest.mark.parametrize(("name", "rule"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.long) for one in LONG)])
def test_a_killed_run_resumes_to_the_bits_of_the_uncut_one(
    train: Any, cut: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rule: str
) -> None:
    """Weights, slots and buffers, every loss in every rank's events, and which samples each batch held."""
    ranks, settings = STRATEGIES[name]
    settings = [*settings, *RULES[rule], *AUGMENTED]
    fed: dict[int, list[list[int]]] = {}
    feed = Synchronous.feed

    def watched(self: Synchronous, batch: np.ndarray) -> Any:
        if self.communicator.rank == 0:
            fed.setdefault(self.step, []).append(batch.tolist())
        return feed(self, batch)

    monkeypatch.setattr(Synchronous, "feed", watched)
    whole, _ = train("whole", ranks, *settings)
    cut("run", ranks, *settings)
    assert [path.name for path in generations(tmp_path / "run")] == [f"step-{SAVED:08d}"]
    resumed, said = train("run", ranks, *settings, *SAVES, resume=True)
    assert f"resuming {tmp_path / 'run' / 'generations' / f'step-{SAVED:08d}'}" in said
    assert [len(fed[step]) for step in range(STEPS)] == [1] * SAVED + [2] * SAVED  # of this process, not of the killed one
    assert all(order == [order[0]] * len(order) for order in fed.values())
    assert (resumed.test_loss, resumed.steps) == (whole.test_loss, STEPS)
    assert same(tmp_path, ranks)


def test_an_epoch_that_ends_with_a_save_by_steps_is_judged_before_it(train: Any, tmp_path: Path) -> None:
    """It was saved first: resumed from there, nobody had seen the epoch's figures, and patience had lost its count."""
    train("run", 1, "train.epochs=2", "checkpoint.every_epochs=0", "checkpoint.every_steps=4", "checkpoint.keep=9")
    watches = [Generation(path).meta["watch"] for path in generations(tmp_path / "run")]
    assert [watch["step"] + 4 * watch["waiting"] for watch in watches] == [8, 4]
