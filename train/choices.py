"""[optim] and [loss]: sections in which one key chooses what the others mean.

Each rule, schedule and loss is a dataclass with defaults of its own, and those are the settings that it takes: no list of
them is repeated here. A setting of something else is an error, because it would be believed to have an effect; unless
the choice itself was changed by an override: then what went with the old one goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..core.errors import UsageError
from .tables import at_least

Choices = dict[str, dict[str, dict[str, Any]]]  # {key that chooses: {what it may say: {its settings: their defaults}}}

# Where a job needs another default than the class: PyTorch's lr 0.001 without momentum trains hardly anything.
USUAL: dict[str, dict[str, Any]] = {"sgd": {"lr": 0.1, "momentum": 0.9}}


@dataclass(frozen=True)
class Optim:
    """The update rule, its learning rate over time, and the limit of the gradient's norm, in PyTorch's words.

    A setting left out becomes the default of the rule or schedule that takes it, where one does (optim.OPTIMIZERS, with sgd's
    own here: lr 0.1, momentum 0.9; optim.SCHEDULES); UsageError for one that neither takes.

    name: the rule.   weight_decay: for weights, not for biases.
    schedule: of the learning rate, over updates; cosine, polynomial and one-cycle end with the last update of the last epoch.
    warmup_steps: updates with a rate that rises to lr before the schedule begins.
    clip_norm: the gradient of the whole model is scaled down to this norm where it is longer, 0 = never.
    """

    name: Literal[
        "sgd", "sutskever", "nag", "nadam", "adagrad", "rmsprop", "adam", "adamw", "qhm", "qhadam", "aggmo"
    ] = "sgd"
    lr: float | None = at_least(0, None)
    momentum: float | None = at_least(0, None)
    dampening: float | None = None
    nesterov: bool | None = None
    betas: tuple[float, ...] | None = None
    nu: float | None = None
    nus: tuple[float, ...] | None = None
    alpha: float | None = None
    eps: float | None = None
    centered: bool | None = None
    amsgrad: Literal["no", "torch", "reddi"] | None = None
    lr_decay: float | None = None
    momentum_decay: float | None = None
    initial_accumulator_value: float | None = None
    weight_decay: float | None = at_least(0, None)
    decoupled_weight_decay: bool | None = None
    schedule: Literal["constant", "step", "cosine", "polynomial", "one-cycle"] = "constant"
    step_size: int | None = None
    milestones: tuple[float, ...] | None = None
    gamma: float | None = None
    power: float | None = None
    floor: float | None = None
    pct_start: float | None = None
    div_factor: float | None = None
    final_div_factor: float | None = None
    warmup_steps: int = at_least(0, 0)
    clip_norm: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        known = choices("optim")
        taken = known["schedule"][self.schedule] | known["name"][self.name] | USUAL.get(self.name, {})
        _settle(self, "optim", taken, f"{self.name} with the schedule {self.schedule}", "they take")


@dataclass(frozen=True)
class Loss:
    """What training makes small; nn.losses.LOSSES has the formulas.
    A setting left out becomes the default of the loss that takes it; UsageError for one that it does not take.

    name: "auto" is cross-entropy where targets are classes and mse where they are values.
    smoothing: the share of a label that is spread over all classes.   weights: one per class.   ignore: a label that does
    not count.   pos_weight: one per output.   delta: where Huber turns from a square to a line.   gamma, alpha: of focal.
    smooth: what Dice adds to both sides of its ratio.
    """

    name: Literal["auto", "cross-entropy", "bce", "mse", "l1", "huber", "dice", "focal"] = "auto"
    smoothing: float | None = at_least(0, None)
    weights: tuple[float, ...] | None = None
    ignore: int | None = None
    pos_weight: tuple[float, ...] | None = None
    delta: float | None = at_least(0, None)
    gamma: float | None = at_least(0, None)
    alpha: float | None = at_least(0, None)
    smooth: float | None = at_least(0, None)

    def __post_init__(self) -> None:
        _settle(self, "loss", choices("loss")["name"][self.name], self.name, "it takes")


def choices(section: str) -> Choices:
    """What the keys of a section that choose may say, and the settings that belong to it."""
    from ..nn.losses import LOSSES  # late: the command line loads no NumPy before a command runs
    from ..optim import OPTIMIZERS, SCHEDULES

    classes: dict[str, dict[str, dict[str, type]]] = {
        "optim": {"name": {**OPTIMIZERS}, "schedule": SCHEDULES},
        "loss": {"name": {"auto": LOSSES["cross-entropy"], **LOSSES}},
    }
    return {
        key: {name: {item.name: item.default for item in fields(cls)} for name, cls in known.items()}
        for key, known in classes[section].items()
    }


def _settle(section: Any, name: str, taken: dict[str, Any], takers: str, they_take: str) -> None:
    """Fills in what was left out; UsageError for a setting that means nothing.   taken: {setting: its default}."""
    for item in fields(section):
        value = getattr(section, item.name)
        if item.default is None and value is None:
            object.__setattr__(section, item.name, taken.get(item.name))
        elif item.default is None and item.name not in taken:
            names = ", ".join(key.name for key in fields(section) if key.name in taken) or "no settings"
            problem = f"{name}.{item.name} = {value} means nothing to {takers}"
            raise UsageError(problem, f"leave it out; {they_take} {names}")


def without_replaced(table: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The table of a configuration, less what it sets for a rule, schedule or loss that an override replaces by another."""
    kept = dict(table)
    for name, section in (("optim", Optim), ("loss", Loss)):
        if isinstance(table.get(name), dict):
            stale = _stale(name, section, table[name], overrides)
            kept[name] = {key: value for key, value in table[name].items() if key not in stale}
    return kept


def _stale(name: str, section: type, given: dict[str, Any], overrides: Sequence[str]) -> set[str]:
    """The settings of choices that are no longer made. A learning rate is tuned to a rule, but a schedule starts from any;
    and a setting that two losses take means the same to both.
    """
    stale: set[str] = set()
    for leaf, known in choices(name).items():
        old = given.get(leaf, getattr(section, leaf))
        new = [text for key, _, text in (one.partition("=") for one in overrides) if key == f"{name}.{leaf}"]
        if new and new[-1] != old and old in known:
            stays = known.get(new[-1], {}).keys() if name == "loss" else {"lr"} if leaf == "schedule" else set()
            stale |= known[old].keys() - stays
    return stale
