"""The loss of a run: what a section may say, and the object it stands for."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args, get_type_hints

import numpy as np
import pytest

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.core.partition import Partition
from shoal.kernels.op import Like
from shoal.mpi.alone import Alone
from shoal.mpi.data_parallel import DataParallel
from shoal.nn import BCE, L1, MSE, CrossEntropy, Dice, Focal, Huber, Linear, Sequential
from shoal.nn.losses import LOSSES
from shoal.optim import SGD
from shoal.train import dry_run, start, tables
from shoal.train.build import check, loss
from shoal.train.config import Loss, changed, load
from shoal.train.data import Dataset
from shoal.train.progress import Silent

LABELLED, VALUES = (cast(Dataset, SimpleNamespace(targets=kind)) for kind in ("label", "values"))
SECTIONS = {
    "": CrossEntropy(),
    "loss.smoothing=0.1 loss.weights=1,2 loss.ignore=255": CrossEntropy(0.1, (1.0, 2.0), 255),
    "loss.name=bce loss.pos_weight=3": BCE((3.0,)),
    "loss.name=mse": MSE(),
    "loss.name=l1": L1(),
    "loss.name=huber loss.delta=0.5": Huber(0.5),
    "loss.name=dice loss.smooth=2": Dice(2.0),
    "loss.name=focal loss.gamma=1": Focal(1.0, 0.25),
}


@pytest.mark.parametrize("settings", SECTIONS)
def test_a_section_stands_for_a_loss(settings: str) -> None:
    config = load("digits-cnn", settings.split())
    assert loss(config.loss, LABELLED) == SECTIONS[settings]


def test_a_loss_that_is_not_named_follows_the_targets() -> None:
    assert loss(Loss(), VALUES) == MSE()
    assert loss(Loss("huber"), VALUES) == Huber()
    with pytest.raises(UsageError, match="settings of cross-entropy, but the targets are values"):
        loss(Loss(smoothing=0.1), VALUES)


def test_every_loss_can_be_named_and_every_setting_belongs_to_one() -> None:
    assert list(get_args(get_type_hints(Loss)["name"])) == ["auto", *LOSSES]
    taken = {item.name for cls in LOSSES.values() for item in fields(cls)}
    assert taken == {item.name for item in fields(Loss)} - {"name"}


def test_what_is_written_is_what_is_read() -> None:
    config = load("digits-cnn", ["loss.ignore=9", "loss.weights=1,0.5"])
    assert (
        tables.read(type(config), {"loss": {k: v for k, v in vars(config.loss).items() if v is not None}}).loss
        == config.loss
    )


MISTAKES = {
    "loss.name=mse loss.delta=1": ("loss.delta = 1.0 means nothing to mse", "leave it out; it takes no settings"),
    "loss.gamma=2": ("loss.gamma = 2.0 means nothing to auto", "leave it out; it takes smoothing, weights, ignore"),
    "loss.name=focal loss.smoothing=0.1": (
        "loss.smoothing = 0.1 means nothing to focal",
        "leave it out; it takes gamma, alpha",
    ),
    "loss.smoothing=-1": ("loss.smoothing = -1.0 must be at least 0", "leave it out for the default"),
}


@pytest.mark.parametrize("settings", MISTAKES)
def test_a_setting_the_loss_does_not_take_names_those_it_takes(settings: str) -> None:
    with pytest.raises(UsageError) as caught:
        load("digits-cnn", settings.split())
    assert (caught.value.problem, caught.value.cure) == MISTAKES[settings]


@pytest.mark.parametrize(("loss", "mass"), [(CrossEntropy(), 24), (Dice(), 6), (CrossEntropy(ignore=0), 20)])
def test_a_strategy_divides_by_the_mass_of_the_loss(loss: Any, mass: int) -> None:
    labels = np.ones((6, 4), np.int64)
    labels[0] = 0
    x = np.random.default_rng(0).standard_normal((6, 4, 5))
    strategy = DataParallel(
        Sequential(Linear(4)),
        SGD(lr=0.1),
        Alone(),
        Partition.of((), 1),
        shape=(4, 5),
        fetch=lambda which: (x[which], labels[which]),
        loss=loss,
        seed=0,
        dtype="float64",
        backend="reference",
    )
    w, b = (strategy.replica.weights[name].copy() for name in ("0.weight", "0.bias"))
    report = strategy.feed(np.arange(6))[0]
    assert report.mass == mass
    total, right, _ = loss(x @ w.T + b, labels, 1.0, Context(backend="reference"))
    assert (report.loss, report.right) == (pytest.approx(total / mass, rel=1e-13), right)


FITS = {  # what no kernel has to be compiled, and no run folder to be written to, in order to find
    "loss.name=mse": r"gives \(10,\) for a sample, whose target is int64\(\): mse: the target is float32\(1,\)",
    "loss.weights=1,2": r"weights \(2,\) for 10 classes",
    "loss.smoothing=1.5": r"smoothing 1.5 is not in \[0, 1\]",
    "loss.weights=1,1,1,1,1,1,1,1,1,-1": r"weights \(1.0, .*, -1.0\) must be at least 0, and not all 0",
    "loss.weights=0,0,0,0,0,0,0,0,0,0": "must be at least 0, and not all 0",
    "model.name=autoencoder": r"gives \(8, 8, 1\) for a sample, whose target is int64\(\)",
    "loss.name=dice train.metrics=perplexity": "perplexity is the exponential of a cross-entropy, the loss is Dice",
}


@pytest.mark.parametrize("settings", FITS)
def test_a_loss_that_does_not_fit_is_refused_before_anything_is_written(settings: str, tmp_path: Path) -> None:
    """It was found while kernels were made ready, in a run folder that looked like a run; some of it never."""
    config = load("digits-cnn", [*settings.split(), "train.backend=reference", f"run.folder={tmp_path / 'run'}"])
    with pytest.raises(UsageError, match=FITS[settings]):
        start.train(config, Alone(), Silent())
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match=FITS[settings]):
        dry_run.plan(config, 1)


def test_a_loss_that_fits_every_kind_of_target_passes() -> None:
    for outputs, target in [((10,), Like((), np.dtype(int))), ((4, 4, 10), Like((4, 4), np.dtype(int)))]:
        check(CrossEntropy(ignore=0), load("digits-cnn"), outputs, target)
    check(MSE(), load("digits-cnn"), (8, 8, 1), Like((8, 8, 1), np.dtype("float32")))


@pytest.mark.parametrize("settings", ["loss.ignore=0", "loss.weights=0,1,1,1,1,1,1,1,1,1"])
def test_a_batch_in_which_nothing_counts_is_no_division_by_zero(settings: str, tmp_path: Path) -> None:
    """Kernels are made ready on labels that are all 0: nothing counted, and its mean was 0 / 0."""
    given = [settings, "train.epochs=1", "train.batch=479", "train.backend=reference", f"run.folder={tmp_path / 'run'}"]
    assert np.isfinite(start.train(load("digits-cnn", given), Alone(), Silent()).figures["test_loss"])


def test_a_loss_named_instead_of_a_files_takes_none_of_its_settings(tmp_path: Path) -> None:
    """`shoal eval RUN loss.name=mse` said to leave out loss.smoothing, which nobody had given: the checkpoint had."""
    file = tmp_path / "c.toml"
    file.write_text('[loss]\nname = "huber"\ndelta = 0.5\n')
    assert load(str(file), ["loss.name=mse"]).loss == Loss("mse")
    assert load(str(file), ["loss.name=huber"]).loss == Loss("huber", delta=0.5)
    file.write_text("[loss]\nsmoothing = 0.5\n")
    assert load(str(file), ["loss.name=cross-entropy"]).loss == Loss("cross-entropy", smoothing=0.5)
    saved = asdict(load(str(file)))  # a checkpoint states every setting
    assert changed(saved, ["loss.name=l1", "optim.name=adam"]).loss == Loss("l1")


def test_a_single_class_is_nothing_to_learn(tmp_path: Path) -> None:
    """Labels that were all 0 trained to a loss of 0.0000, and to an accuracy of whatever the sign of the output was."""
    settings = ["data.source=synthetic", "data.classes=1", "model.name=mlp", f"run.folder={tmp_path / 'run'}"]
    with pytest.raises(UsageError, match="there is one class"):
        start.train(load("digits-cnn", settings), Alone(), Silent())
