"""A run that is killed and resumed is the run that was not, to the bit; what it may change it says, and what it needs it misses.

Runs are killed by SIGKILL as one rank is about to feed a given batch; whatever the other ranks do then, nobody is told.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from killed import killed_at
from launch import mpirun

from shoal.checkpoint import commit
from shoal.checkpoint.generation import Generation
from shoal.checkpoint.history import generations, open_generation
from shoal.checkpoint.store import Store
from shoal.core.errors import CheckpointError, DataError, ShoalError, UsageError
from shoal.core.spec import Spec, State
from shoal.mpi.alone import Alone
from shoal.mpi.synchronous import Synchronous
from shoal.mpi.threads import run
from shoal.nn import BatchNorm, Conv2d, Dropout, GlobalAvgPool, Linear, Sequential
from shoal.nn.models import MODELS, Entry
from shoal.train import infer, start
from shoal.train.config import load
from shoal.train.progress import Silent
from shoal.train.resume import seen_at_once
from shoal.train.summary import Summary

STEPS, SAVED, KILLED = 20, 10, 13  # of 4 in an epoch, the last of them ragged: saved and killed within one
RUN = [
    "model.name=small",
    "train.batch=12",
    "train.epochs=5",
    "train.patience=50",
    "parallel.cut=count",
    "parallel.deadline=30",
]
SAVES = ["checkpoint.every_epochs=0", f"checkpoint.every_steps={SAVED}"]
AUGMENTED = ["data.augment=crop,flip,noise", "data.pad=1"]
MOMENTUM = ["optim.nesterov=true", "optim.clip_norm=0.5", "optim.schedule=cosine", "optim.warmup_steps=3"]
ADAM = [
    "optim.name=adam",
    "optim.lr=0.01",
    "optim.weight_decay=0.01",
    "optim.schedule=polynomial",
    "optim.warmup_steps=3",
]
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


def contents(path: Path) -> dict[str, bytes]:
    """All that a generation, or a run's newest, holds: weights, buffers, slots."""
    generation = open_generation(path)
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
    return (contents(whole), facts(whole)) == (contents(cut), facts(cut)) and all(
        told(whole, rank) == told(cut, rank) for rank in range(ranks)
    )


# ---------------------------------------------------------------------------------------------------- to the bit


QUICK = [
    ("serial", "momentum"),
    ("equal", "adam"),
    ("uneven", "momentum"),
    ("1f1b", "adam"),
    ("gpipe", "momentum"),
    ("mesh", "adam"),
]
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
    times = [len(fed[step]) for step in range(STEPS)]
    assert times == [1] * SAVED + [2] * (STEPS - SAVED)  # in this process, not in the killed one
    assert all(order == [order[0]] * len(order) for order in fed.values())
    assert (resumed.test_loss, resumed.steps) == (whole.test_loss, STEPS)
    assert same(tmp_path, ranks)


def test_an_epoch_that_ends_with_a_save_by_steps_is_judged_before_it(train: Any, tmp_path: Path) -> None:
    """It was saved first: resumed from there, nobody had seen the epoch's figures, and patience had lost its count."""
    train("run", 1, "train.epochs=2", "checkpoint.every_epochs=0", "checkpoint.every_steps=4", "checkpoint.keep=9")
    watches = [Generation(path).meta["watch"] for path in generations(tmp_path / "run")]
    assert [watch["step"] + 4 * watch["waiting"] for watch in watches] == [8, 4]


# ---------------------------------------------------------------------------------------------------- nothing is missing


class Halfway:
    """A run with Adam, saved within its last epoch and at its end, and what becomes of other states that are put in its place."""

    def __init__(self, folder: Path):
        self.folder = folder
        np.savez(folder / "a.npz", **datasets.arrays())
        source = [f"data.path={folder / 'a.npz'}", "data.source=npz", "train.backend=reference"]
        self.settings = [*source, *RUN, *ADAM, "checkpoint.every_epochs=0", "checkpoint.every_steps=18"]
        self.train(folder / "run", resume=False)
        self.end, path = generations(folder / "run")
        generation = Generation(path)
        specs = {
            one.name: Spec(one.name, one.global_shape) for file in generation.manifest.files for one in file.slices
        }
        tensors = {name: (spec, generation.read(name, spec)) for name, spec in specs.items()}
        self.state = State(tensors, dict(generation.meta))

    def train(self, folder: Path, resume: bool = True) -> Summary:
        return start.train(load("digits-cnn", [*self.settings, f"run.folder={folder}"]), Alone(), Silent(), resume)

    def continued(self, folder: Path, tensors: dict[str, Any], meta: dict[str, Any]) -> tuple[Summary, bool]:
        """Resumes this state in a folder of its own; whether it ends in the same bits, and says the same of its epochs."""
        with Store(folder, Alone()) as store:
            store.save(State(tensors, meta))
        summary = self.train(folder)
        judged = [
            [(event["epoch"], event["loss"], event["test_loss"]) for event in events(place, 0, "epoch")]
            for place in (folder, self.folder / "run")
        ]
        return summary, (contents(open_generation(folder).path), judged[0]) == (contents(self.end), judged[1][-1:])


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Halfway:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "small", Entry(small, (8, 8, 1), 4))
        return Halfway(tmp_path_factory.mktemp("halfway"))


LEAVES = ("0.weight", "1.weight", "1.bias", "3.weight", "3.bias", "4.weight", "4.bias", "6.weight", "6.bias")
TENSORS = [f"{kind}/{leaf}" for kind in ("model", "optimizer/mean", "optimizer/square") for leaf in LEAVES]
TENSORS += [f"model/{block}.{buffer}" for block in (1, 4) for buffer in ("running_mean", "running_var")]


def test_a_checkpoint_holds_these_items_and_no_others(halfway: Halfway) -> None:
    """Each is shown below to be needed; "life" and "epochs" are for people and no part of what is trained."""
    assert sorted(halfway.state.tensors) == sorted(TENSORS)
    assert set(halfway.state.meta) - {"life", "epochs"} == {"step", *WRONG, *OF_SAMPLES}


def test_put_back_as_it_was_it_continues_to_the_same_bits(halfway: Halfway, tmp_path: Path) -> None:
    assert halfway.continued(tmp_path, halfway.state.tensors, halfway.state.meta)[1]


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_lacks_is_named_and_one_that_is_wrong_ends_elsewhere(
    halfway: Halfway, tmp_path: Path, name: str
) -> None:
    tensors, meta = halfway.state.tensors, halfway.state.meta
    with pytest.raises(CheckpointError, match=f"holds no tensor '{name}'"):
        halfway.continued(tmp_path / "lacks", {key: value for key, value in tensors.items() if key != name}, meta)
    spec, array = tensors[name]
    wrong = array.copy()
    wrong.flat[0] = wrong.flat[0] * 1.5 + 0.01
    assert not halfway.continued(tmp_path / "wrong", {**tensors, name: (spec, wrong)}, meta)[1]


def test_a_state_without_its_step_is_not_saved_and_with_another_ends_elsewhere(
    halfway: Halfway, tmp_path: Path
) -> None:
    """Dropout's bits and the schedule's rate follow from it."""
    meta = halfway.state.meta
    with pytest.raises(CheckpointError, match="needs its step"):
        halfway.continued(tmp_path / "lacks", halfway.state.tensors, {key: meta[key] for key in meta if key != "step"})
    assert not halfway.continued(tmp_path / "wrong", halfway.state.tensors, {**meta, "step": meta["step"] + 1})[1]


WRONG: dict[str, tuple[Callable[[Any], Any], Any]] = {  # a fact: what is made of it, and what it comes to
    "fed": (lambda fed: fed + 1, "other bits"),  # the place in the order of samples
    "epoch": (
        lambda mean: {**mean, "total": mean["total"] + 1},
        "other bits",
    ),  # the loss of the batches before the cut
    "judged": (lambda judged: judged - 1, "other bits"),  # an epoch is judged twice
    "watch": (lambda watch: {**watch, "waiting": 50}, "no better loss for 50 epochs"),
    "config": (
        lambda config: {**config, "train": {**config["train"], "seed": 9}},
        UsageError("train.seed = 9, this run has 1"),
    ),
    "data": (lambda digest: digest[::-1], DataError("trained on other data")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fact_that_lacks_is_named_and_one_that_is_wrong_is_seen(halfway: Halfway, tmp_path: Path, name: str) -> None:
    (spoil, seen), meta = WRONG[name], halfway.state.meta
    with pytest.raises(CheckpointError, match=f"lacks the fact '{name}'"):
        halfway.continued(tmp_path / "lacks", halfway.state.tensors, {key: meta[key] for key in meta if key != name})
    wrong = {**meta, name: spoil(meta[name])}
    if isinstance(seen, Exception):
        with pytest.raises(type(seen), match=str(seen)):
            halfway.continued(tmp_path / "wrong", halfway.state.tensors, wrong)
    else:
        summary, same = halfway.continued(tmp_path / "wrong", halfway.state.tensors, wrong)
        assert not same and summary.stopped == (seen if seen != "other bits" else "")


OF_SAMPLES = {
    "shape": [9, 8, 1],
    "classes": 0,
    "outputs": 5,
}  # what inference knows of samples without the training set


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_inference_misses_what_a_checkpoint_does_not_say_of_samples(
    halfway: Halfway, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", x=datasets.images(3)[0])

    def said(label: str, meta: dict[str, Any]) -> str:
        with Store(tmp_path / label, Alone()) as store:
            store.save(State(halfway.state.tensors, meta))
        infer.infer(str(tmp_path / label), str(tmp_path / "x.npz"), "", 0, [], Alone(), Silent())
        return capsys.readouterr().out

    meta = halfway.state.meta
    true = said("true", meta)
    assert len(true.splitlines()) == 4
    with pytest.raises(CheckpointError, match=f"lacks the fact '{name}'"):
        said("lacks", {key: meta[key] for key in meta if key != name})
    try:
        assert said("wrong", {**meta, name: OF_SAMPLES[name]}) != true
    except ShoalError as error:
        assert name != "classes" and ("(9, 8, 1)" in str(error) or "(5, 6)" in str(error))


# ---------------------------------------------------------------------------------------------------- what may change


def changed(lines: list[str]) -> list[str]:
    """What was said between the resume and the first epoch."""
    start = next(i for i, line in enumerate(lines) if line.startswith("resuming"))
    return [line for line in lines[start + 1 :] if not line.startswith(("epoch", "stopped"))]


PARTS = "normalisation sees other parts of each batch than before: this is not what the run uncut would compute"
CHANGES: dict[
    str, tuple[int, list[str], list[str]]
] = {  # ranks, settings, what is said; saved on 2 ranks, by shares of 3:1
    "nothing": (2, ["parallel.shares=3,1"], []),
    "settings": (
        2,
        ["parallel.shares=3,1", "optim.lr=0.01", "train.epochs=3", "data.augment=flip"],
        ['changed since the checkpoint: data.augment [] -> ["flip"], optim.lr 0.02 -> 0.01, train.epochs 1 -> 3'],
    ),
    "shares": (2, [], ["changed since the checkpoint: parallel.shares [3.0, 1.0] -> []"]),
    "ranks": (1, [], ["changed since the checkpoint: ranks 2 -> 1, parallel.shares [3.0, 1.0] -> []"]),
    "micro-batches": (
        2,
        ["parallel.shares=3,1", "train.micro_batches=2"],
        ["changed since the checkpoint: train.micro_batches 1 -> 2", PARTS],
    ),
    "norm": (
        2,
        ["parallel.shares=3,1", "parallel.norm=share"],
        ['changed since the checkpoint: parallel.norm "batch" -> "share"', PARTS],
    ),
    "mesh": (
        2,
        ["parallel.mesh.pipeline=2"],
        ["changed since the checkpoint: parallel.mesh {} -> { pipeline = 2 }, parallel.shares [3.0, 1.0] -> []"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_resumed_run_says_in_one_line_what_has_changed(train: Any, name: str) -> None:
    """And in another where layers that normalise will see other samples together, because that is no rounding."""
    ranks, settings, expected = CHANGES[name]
    train("run", 2, "train.epochs=1", "parallel.shares=3,1")
    epochs = [] if "train.epochs=3" in settings else ["train.epochs=1"]
    said = changed(train("run", ranks, *epochs, *settings, resume=True)[1])
    assert said == expected


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ((1, []), (2, []), False),  # synchronised over all replicas
        ((2, ["parallel.norm=share"]), (2, ["parallel.norm=share"]), False),
        ((2, ["parallel.norm=share"]), (3, ["parallel.norm=share"]), True),
        ((2, ["parallel.norm=share"]), (2, ["parallel.norm=share", "parallel.shares=3,1"]), True),
        ((4, [*PIPELINE, "parallel.norm=share"]), (2, ["train.micro_batches=3", "parallel.norm=share"]), False),
        ((1, ["train.micro_batches=2"]), (2, ["parallel.norm=share"]), False),  # halves, one after the other or not
        ((1, ["train.micro_batches=2"]), (2, ["train.micro_batches=2"]), True),
        ((2, ["parallel.shares=1,0"]), (1, ["parallel.norm=share"]), False),
    ],
)
def test_what_normalisation_sees_is_compared_sample_by_sample(before: Any, after: Any, differs: bool) -> None:
    seen = [seen_at_once(load("digits-cnn", [*RUN, *settings]), ranks) for ranks, settings in (before, after)]
    assert (seen[0] != seen[1]) == differs
    assert all(frozenset().union(*one) == frozenset(range(12)) for one in seen)


REFUSED = {
    "optim.momentum": (["optim.momentum=0"], ["optim.momentum=0.9", "optim.nesterov=true", "optim.lr=0.001"]),
    "optim.amsgrad": (["optim.name=adam"], ["optim.name=adam", "optim.amsgrad=torch", "optim.eps=1e-5"]),
    "optim.betas": (["optim.name=aggmo", "optim.betas=0,0.9"], ["optim.name=aggmo"]),
    "optim.centered": (["optim.name=rmsprop"], ["optim.name=rmsprop", "optim.centered=true", "optim.alpha=0.9"]),
    "optim.name": (["optim.name=sutskever"], ["optim.nesterov=true"]),
    "train.batch": ([], ["train.batch=11"]),
    "data.white": ([], ["data.white=100"]),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_setting_that_the_checkpoint_cannot_follow_is_refused_by_its_name(
    train: Any, tmp_path: Path, key: str
) -> None:
    """Momentum from 0 to 0.9 said that a tensor was missing; Sutskever's velocity was taken for that of SGD, which has other units."""
    before, after = REFUSED[key]
    train("run", 1, "train.epochs=1", *before)
    with pytest.raises(UsageError, match=f"step-00000004 was trained with {key} = ") as caught:
        train("run", 1, *after, resume=True)
    assert caught.value.cure.startswith(f"give {key}=") and "run.folder=FOLDER" in caught.value.cure
    assert ("model.weights=" in caught.value.cure) == key.startswith("optim.")
    train("run", 1, *before, resume=True)


def test_a_rule_that_needs_less_than_was_saved_goes_on(train: Any) -> None:
    train("run", 1, "train.epochs=1")
    said = changed(train("run", 1, "train.epochs=2", "optim.momentum=0", resume=True)[1])
    assert said == ["changed since the checkpoint: optim.momentum 0.9 -> 0.0, train.epochs 1 -> 2"]


def test_the_schedule_of_then_is_not_measured_by_the_epochs_of_now(train: Any) -> None:
    """A long warm-up that was fine then was an error about a setting that the resumed run had left out."""
    train("run", 1, "train.epochs=1", "train.batch=4", "optim.warmup_steps=10")
    train("run", 1, "train.epochs=5", "train.batch=4", "optim.warmup_steps=50", resume=True)
    train("run", 1, "train.epochs=1", "train.batch=4", resume=True)


# ---------------------------------------------------------------------------------------------------- damage, evaluation


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def test_a_mesh_falls_back_from_a_damaged_generation_and_ends_in_the_same_bits(train: Any, tmp_path: Path) -> None:
    ranks, settings = STRATEGIES["mesh"]
    train("whole", ranks, *settings, *MOMENTUM)
    assert killed_at(
        f"step {KILLED} on rank 2", lambda: train("run", ranks, *settings, *MOMENTUM, "checkpoint.every_steps=5")
    )
    newest, before = generations(tmp_path / "run")[:2]
    flipped(newest / "rank-0001.h5")
    _, said = train("run", ranks, *settings, *MOMENTUM, resume=True)
    assert any(str(newest / "rank-0001.h5") in line and "generation" in line for line in said)
    assert f"resuming {before}" in said
    assert same(tmp_path, ranks)


def test_what_a_mesh_trained_has_the_same_figures_on_any_ranks(
    train: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage's share of memory was asked of the one rank that evaluates the whole; predictions go by sample, not by rank."""
    ranks, settings = STRATEGIES["mesh"]
    summary, _ = train(
        "run", ranks, *settings, "train.dtype=float64", "train.metrics=accuracy,f1", "parallel.memory_mb=0.03"
    )
    np.savez(tmp_path / "x.npz", x=datasets.images(7)[0])
    folder, figures, predicted = str(tmp_path / "run"), [], []
    for count in (1, 2, 3):
        evaluate = lambda c: start.evaluate_checkpoint(folder, [], c, Silent()).figures  # noqa: E731
        predict = lambda c: infer.infer(folder, str(tmp_path / "x.npz"), "", 0, [], c, Silent())  # noqa: E731
        figures += run(count, evaluate, backend="reference")
        run(count, predict, backend="reference")
        predicted.append([line.split(",") for line in capsys.readouterr().out.splitlines()[1:]])
    for found in figures:
        assert found.pop("test_loss") == pytest.approx(summary.test_loss, rel=1e-12)
        assert found == {key: value for key, value in summary.figures.items() if key != "test_loss"}
    for rows in predicted:
        assert [row[:2] for row in rows] == [row[:2] for row in predicted[0]]
        assert np.array(rows)[:, 2:].astype(float) == pytest.approx(
            np.array(predicted[0])[:, 2:].astype(float), rel=1e-8
        )


# ---------------------------------------------------------------------------------------------------- the command, under mpirun


COMMAND = """
import os, signal, sys
from shoal.cli import main
from shoal.mpi.synchronous import Synchronous

feed, at = Synchronous.feed, {at}

def told(self, batch):
    if (self.step, self.communicator.rank) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return feed(self, batch)

Synchronous.feed = told
sys.argv = ["shoal", "train", "digits-cnn", *{arguments}]
main()
"""


def test_the_command_resumes_under_mpirun_what_was_killed_on_other_ranks_and_meshes(
    tiny: list[str], tmp_path: Path
) -> None:
    """Killed and resumed to the bit past a damaged generation; then as a pipeline, killed, and on three ranks, as the uncut run."""
    settings = [
        *tiny,
        "train.dtype=float64",
        "train.epochs=4",
        "checkpoint.every_steps=2",
        "optim.warmup_steps=3",
        *AUGMENTED,
    ]

    def shoal(ranks: int, name: str, *more: str, at: tuple[int, int] | None = None) -> str:
        arguments = [*settings, *more, f"run.folder={tmp_path / name}"]
        done = mpirun(ranks, COMMAND.format(at=at, arguments=arguments))
        assert (done.code != 0) == bool(at), done.text
        return done.text

    whole = load("digits-cnn", [*settings, f"run.folder={tmp_path / 'whole'}"])
    run(2, lambda c: start.train(whole, c, Silent()), backend="reference")
    shoal(2, "run", at=(13, 1))
    newest, before = generations(tmp_path / "run")[:2]
    assert newest.name == "step-00000012"
    shutil.copytree(tmp_path / "run", tmp_path / "chain")
    flipped(newest / "rank-0000.h5")
    said = shoal(2, "run", "--resume")
    assert f"{newest / 'rank-0000.h5'} is damaged" in said and f"resuming {before}" in said
    assert contents(tmp_path / "run") == contents(tmp_path / "whole") and facts(tmp_path / "run") == facts(
        tmp_path / "whole"
    )

    pipeline = ["--resume", "parallel.mesh.pipeline=2", "train.micro_batches=3"]
    said = shoal(2, "chain", *pipeline, at=(15, 0))
    assert "changed since the checkpoint: train.micro_batches 1 -> 3, parallel.mesh {} -> { pipeline = 2 }" in said
    assert "changed since the checkpoint: ranks 2 -> 3" in shoal(3, "chain", "--resume")
    for name, value in contents(tmp_path / "chain").items():
        expected = np.frombuffer(contents(tmp_path / "whole")[name])
        assert np.linalg.norm(np.frombuffer(value) - expected) <= 1e-10 * np.linalg.norm(expected), name
