"""Adaptive rules, in PyTorch's form and names where it has them: Adagrad, RMSprop, Adam and its relatives.

Averages start at zero and are corrected for it by 1 - beta^t; the powers come from exact.py, so they are the same on
every rank. NAdam and QHAdam are one op with other weights. Formulas and sources stand with the ops.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ..core.errors import UsageError
from ..kernels import ops
from ..kernels.op import Op
from .exact import power
from .optimizer import Optimizer, Rate, within

INFINITY = float("inf")
Highest = Literal["no", "torch", "reddi"]


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s <- s + g^2; w <- w - lr_t * g / (sqrt(s) + eps), lr_t = lr / (1 + step * lr_decay)."""

    lr: Rate = 1e-2
    lr_decay: float = within(0, INFINITY, 0.0)
    initial_accumulator_value: float = within(0, INFINITY, 0.0)
    eps: float = within(1e-30, INFINITY, 1e-10)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("squares",)

    def rate(self, step: int) -> float:
        return super().rate(step) / (1 + step * self.lr_decay)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.adagrad, {"eps": self.eps, "initial": 0.0 if step else self.initial_accumulator_value}


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s <- alpha * s + (1 - alpha) * g^2; w <- w - lr * g / (sqrt(s) + eps); centered: s less the square of the mean."""

    lr: Rate = 1e-2
    alpha: float = within(0, 1, 0.99)
    eps: float = within(1e-30, INFINITY, 1e-8)
    momentum: float = within(0, INFINITY, 0.0)
    centered: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0))

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.rmsprop, {"alpha": self.alpha, "eps": self.eps, "momentum": self.momentum}


@dataclass(frozen=True)
class Adam(Optimizer):
    """m, s: moving averages of g and g^2, corrected to m', s'; w <- w - lr * m' / (sqrt(s') + eps).

    amsgrad: "torch" divides by the root of the highest s so far, then corrected; "reddi" is AMSGrad as published, without
    any correction.
    """

    betas: tuple[float, float] = within(0, 1, (0.9, 0.999))
    eps: float = within(1e-30, INFINITY, 1e-8)
    amsgrad: Highest = "no"

    def __post_init__(self) -> None:
        super().__post_init__()
        _two(self, "betas")
        if self.amsgrad not in get_args(Highest):
            raise UsageError(f"{type(self).__name__}: amsgrad {self.amsgrad!r}", f"use one of {get_args(Highest)}")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "square") if self.amsgrad == "no" else ("mean", "square", "highest")

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        corrections = (1.0, 1.0) if self.amsgrad == "reddi" else _corrections(self.betas, step)
        return ops.adam, {"betas": self.betas, "eps": self.eps, "corrections": corrections}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: w <- (1 - lr * weight_decay) * w first, and g stays as it is."""

    weight_decay: float = within(0, INFINITY, 1e-2, kw_only=True)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        op, settings = super().rule(step)
        return op, {**settings, "decoupled": True}


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam whose mean looks one step ahead, with its momentum warmed up:

    mu_t = betas[0] * (1 - 0.96^(t * momentum_decay) / 2),      P_t = mu_1 * ... * mu_t,      t = 1, 2, ...
    w <- w - lr * ((1 - mu_t) / (1 - P_t) * g + mu_(t+1) / (1 - P_(t+1)) * m) / (sqrt(s') + eps)
    """

    lr: Rate = 2e-3
    betas: tuple[float, float] = within(0, 1, (0.9, 0.999))
    eps: float = within(1e-30, INFINITY, 1e-8)
    momentum_decay: float = within(0, INFINITY, 4e-3)
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _two(self, "betas")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "square")

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        now, product = self._momentum(step + 1)
        ahead, further = self._momentum(step + 2)
        weights = {
            "first": ((1 - now) / (1 - product), ahead / (1 - further)),
            "second": (0.0, 1 / _corrections(self.betas, step)[1]),
        }
        decoupled = self.decoupled_weight_decay
        return ops.mixed_adam, {"betas": self.betas, "eps": self.eps, "decoupled": decoupled, **weights}

    def _momentum(self, t: int) -> tuple[float, float]:
        """(mu_t, P_t). P_t is multiplied anew from t = 1, up to where it no longer counts beside 1."""
        ratio, fading, product = power(0.96, self.momentum_decay), 1.0, 1.0
        for _ in range(t):
            fading *= ratio
            product *= self.betas[0] * (1 - 0.5 * fading)
            if product < 2.0**-60:
                product = 0.0
                break
        return self.betas[0] * (1 - 0.5 * power(0.96, t * self.momentum_decay)), product


@dataclass(frozen=True)
class QHAdam(Optimizer):
    """Adam whose two averages are mixed with the gradient: w <- w - lr * n / (sqrt(q) + eps),

        n = (1 - nus[0]) * g + nus[0] * m',      q = (1 - nus[1]) * g^2 + nus[1] * s'

    nus (1, 1) is Adam; nus (0, 1) is RMSprop with its bias corrected. Its authors advise nus (0.7, 1), betas (0.995, 0.999).
    """

    betas: tuple[float, float] = within(0, 1, (0.9, 0.999))
    nus: tuple[float, float] = within(0, 1 + 2**-52, (1.0, 1.0))
    eps: float = within(1e-30, INFINITY, 1e-8)
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _two(self, "betas")
        _two(self, "nus")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "square")

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        mean, square = _corrections(self.betas, step)
        weights = {
            "first": (1 - self.nus[0], self.nus[0] / mean),
            "second": (1 - self.nus[1], self.nus[1] / square),
        }
        decoupled = self.decoupled_weight_decay
        return ops.mixed_adam, {"betas": self.betas, "eps": self.eps, "decoupled": decoupled, **weights}


def _corrections(betas: tuple[float, float], step: int) -> tuple[float, float]:
    """1 - beta^t, t = step + 1: the weight that an average from zero has gathered."""
    return 1 - power(betas[0], step + 1), 1 - power(betas[1], step + 1)


def _two(optimizer: Optimizer, name: str) -> None:
    if len(getattr(optimizer, name)) != 2:
        usual = next(item.default for item in fields(optimizer) if item.name == name)
        raise UsageError(
            f"{type(optimizer).__name__}: {name} {getattr(optimizer, name)} must be two numbers",
            f"the default is {usual}",
        )
