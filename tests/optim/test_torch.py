"""Parity with PyTorch over 20 updates in float64: optimizers, with tensors that decay and that do not, and schedules."""

import numpy as np
import pytest
from closeness import normal
from descent import arena, descend, noise
from oracle import torch as oracle

from shoal.optim import SGD, Adagrad, Adam, AdamW, Cosine, NAdam, OneCycle, Polynomial, RMSprop, Step, Warmup

ADAM = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-7}
RULES = {  # ours, PyTorch's name, and its settings where they differ from the fields of ours
    "sgd": (SGD(0.1, weight_decay=0.01), "SGD", {}),
    "momentum": (SGD(0.1, momentum=0.9, weight_decay=0.01), "SGD", {}),
    "dampened": (SGD(0.1, momentum=0.9, dampening=0.3, weight_decay=0.01), "SGD", {}),
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01), "SGD", {}),
    "adagrad": (Adagrad(0.1, lr_decay=0.1, initial_accumulator_value=0.1, weight_decay=0.01), "Adagrad", {}),
    "rmsprop": (RMSprop(0.1, weight_decay=0.01), "RMSprop", {}),
    "rmsprop-centered": (RMSprop(0.1, alpha=0.9, centered=True, weight_decay=0.01), "RMSprop", {}),
    "rmsprop-momentum": (RMSprop(0.1, momentum=0.9, centered=True, weight_decay=0.01), "RMSprop", {}),
    "adam": (Adam(**ADAM, weight_decay=0.01), "Adam", {"amsgrad": False}),
    "amsgrad": (Adam(0.1, betas=(0.9, 0.5), amsgrad="torch", weight_decay=0.01), "Adam", {"amsgrad": True}),
    "adamw": (AdamW(**ADAM, weight_decay=0.1), "AdamW", {"amsgrad": False}),
    "adamw-amsgrad": (AdamW(0.1, betas=(0.9, 0.5), amsgrad="torch"), "AdamW", {"amsgrad": True}),
    "nadam": (NAdam(**ADAM, weight_decay=0.01), "NAdam", {}),
    "nadam-decoupled": (NAdam(**ADAM, weight_decay=0.1, decoupled_weight_decay=True), "NAdam", {}),
}


@pytest.fixture(name="torch")
def float64_torch():
    """NAdam keeps its product of momenta in the default dtype."""
    torch = oracle()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", RULES)
def test_twenty_updates_equal_torch(name, torch) -> None:
    rule, theirs, other = RULES[name]
    w = arena(normal(1, (6, 7)), free=5)
    ours = {tensor: torch.nn.Parameter(torch.tensor(w[tensor])) for tensor in ("w", "b")}
    groups = [{"params": [ours["w"]]}, {"params": [ours["b"]], "weight_decay": 0.0}]
    optimizer = getattr(torch.optim, theirs)(groups, **{**vars(rule), **other})

    def gradient(step, w, g):
        noise(step, w, g)
        for tensor, parameter in ours.items():
            parameter.grad = torch.tensor(g[tensor])

    for _ in descend(rule, w, gradient, 20):
        optimizer.step()
        for tensor, parameter in ours.items():
            np.testing.assert_allclose(w[tensor], parameter.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_another_setting_is_told_apart() -> None:
    *_, a = descend(NAdam(0.1, momentum_decay=4e-3), arena(normal(1, 6)), noise, 20)
    *_, b = descend(NAdam(0.1, momentum_decay=5e-3), arena(normal(1, 6)), noise, 20)
    assert np.abs(a["w"] - b["w"]).max() > 1e-9


SCHEDULES = {
    "step": (Step(0.3, step_size=4, gamma=0.5), "StepLR", {"step_size": 4, "gamma": 0.5}),
    "milestones": (Step(0.3, milestones=(3, 7, 8)), "MultiStepLR", {"milestones": [3, 7, 8]}),
    "cosine": (Cosine(0.3, steps=20, floor=0.01), "CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    "polynomial": (Polynomial(0.3, steps=15, power=2.5), "PolynomialLR", {"total_iters": 15, "power": 2.5}),
    "linear": (Polynomial(0.3, steps=15), "PolynomialLR", {"total_iters": 15}),
    "warm-up": (Warmup(lambda step: 0.3, 5), "LinearLR", {"start_factor": 1 / 6, "total_iters": 5}),
    "one-cycle": (OneCycle(0.3, steps=21), "OneCycleLR", {"max_lr": 0.3, "total_steps": 21, "cycle_momentum": False}),
    "one-cycle-early": (
        OneCycle(0.3, steps=40, pct_start=0.25, div_factor=10, final_div_factor=100),
        "OneCycleLR",
        {
            "max_lr": 0.3,
            "total_steps": 40,
            "pct_start": 0.25,
            "div_factor": 10,
            "final_div_factor": 100,
            "cycle_momentum": False,
        },
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_equals_torch(name, torch) -> None:
    ours, theirs, settings = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **settings)
    rates = []
    for _ in range(20):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose([ours(step) for step in range(20)], rates, rtol=1e-12, atol=1e-15)
