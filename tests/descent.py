"""Optimizers at work on small arenas, and one of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from shoal.core.spec import Spec
from shoal.nn import Arena, Layout
from shoal.optim import NAG, QHM, SGD, Adagrad, Adam, AdamW, AggMo, NAdam, Optimizer, QHAdam, RMSprop, Sutskever

EVERY: dict[str, Optimizer] = {
    "sgd": SGD(0.1, weight_decay=0.01),
    "momentum": SGD(0.1, momentum=0.9, weight_decay=0.01),
    "dampened": SGD(0.1, momentum=0.9, dampening=0.5, weight_decay=0.01),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sutskever": Sutskever(0.1, weight_decay=0.01),
    "nag": NAG(0.1, weight_decay=0.01),
    "qhm": QHM(0.1, weight_decay=0.01),
    "aggmo": AggMo(0.1, weight_decay=0.01),
    "adagrad": Adagrad(0.1, lr_decay=0.1, initial_accumulator_value=0.1, weight_decay=0.01),
    "rmsprop": RMSprop(0.1, weight_decay=0.01),
    "rmsprop-centered": RMSprop(0.1, centered=True, momentum=0.9, weight_decay=0.01),
    "adam": Adam(0.1, weight_decay=0.01),
    "adamw": AdamW(0.1, weight_decay=0.1),
    "amsgrad": Adam(0.1, betas=(0.9, 0.5), amsgrad="torch", weight_decay=0.01),
    "amsgrad-reddi": Adam(0.1, betas=(0.9, 0.5), amsgrad="reddi", weight_decay=0.01),
    "nadam": NAdam(0.1, weight_decay=0.01),
    "qhadam": QHAdam(0.1, nus=(0.7, 0.9), weight_decay=0.01, decoupled_weight_decay=True),
}


def arena(values: Any, dtype: Any = np.float64, free: int = 0) -> Arena:
    """A tensor "w" of these values, and "b" of `free` ones to which weight decay does not apply."""
    values = np.atleast_1d(np.asarray(values, dtype))
    specs = [Spec("w", values.shape), *[Spec("b", (free,), decay=False)] * bool(free)]
    made = Arena(Layout(specs), dtype)
    made["w"][...] = values
    if free:
        made["b"][...] = 1
    return made


def slots(optimizer: Optimizer, w: Arena) -> dict[str, Arena]:
    return {slot: w.like() for slot in optimizer.slots}


def descend(
    optimizer: Optimizer,
    w: Arena,
    gradient: Callable[[int, Arena, Arena], None],
    steps: int | range,
    state: dict[str, Arena] | None = None,
    backend: str = "cpu",
) -> Iterator[Arena]:
    """Updates w step by step; gradient(step, w, g) writes the gradient at w into g, whose padding stays zero."""
    state = slots(optimizer, w) if state is None else state
    for step in range(steps) if isinstance(steps, int) else steps:
        g = w.like()
        optimizer.prepare(w, state, step, backend)
        gradient(step, w, g)
        optimizer.update(w, g, state, step, backend)
        yield w


def noise(step: int, w: Arena, g: Arena) -> None:
    """A gradient that does not depend on w."""
    for spec in w.layout.owned():
        g[spec.name][...] = np.random.default_rng([step, spec.size]).standard_normal(spec.shape)
