"""The loss of a run: what a section may say, and the object it stands for."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast, get_args, get_type_hints

import numpy as np
import pytest

from shoal.core.context import Context
from shoal.core.errors import UsageError
from shoal.core.partition import Partition
from shoal.mpi.alone import Alone
from shoal.mpi.data_parallel import DataParallel
from shoal.nn import BCE, L1, MSE, CrossEntropy, Dice, Focal, Huber, Linear, Sequential
from shoal.nn.losses import LOSSES
from shoal.optim import SGD
from shoal.train import tables
from shoal.train.build import loss
from shoal.train.config import Loss, load
from shoal.train.data import Dataset

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
    assert tables.read(type(config), {"loss": {k: v for k, v in vars(config.loss).items() if v is not None}}).loss == config.loss


MISTAKES = {
    "loss.name=mse loss.delta=1": ("loss.delta = 1.0 means nothing to mse", "leave it out; it takes no settings"),
    "loss.gamma=2": ("loss.gamma = 2.0 means nothing to auto", "leave it out; it takes smoothing, weights, ignore"),
    "loss.name=focal loss.smoothing=0.1": ("loss.smoothing = 0.1 means nothing to focal", "leave it out; it takes gamma, alpha"),
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
