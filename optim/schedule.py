"""Learning rates as functions of the update step, counted from 0; a number in, a number out.

A schedule knows nothing of the past, so a resumed run and every rank compute the same rate, and powers and cosines come
from exact.py so that it is the same to the last bit. After its last step a schedule stays where it ended.

    SGD(Warmup(Cosine(0.1, steps=10_000), steps=500), momentum=0.9)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.errors import UsageError
from .exact import cosine, power


@dataclass(frozen=True)
class Constant:
    """lr"""

    lr: float

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step:
    """lr * gamma^k, k: the milestones passed, or step / step_size rounded down (PyTorch's StepLR and MultiStepLR)."""

    lr: float
    step_size: int = 0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _need(self.gamma >= 0, self, "gamma", self.gamma, "must be >= 0")
        one = (self.step_size >= 1) != bool(self.milestones)
        both = f"and milestones {self.milestones}: a rate falls by one of them"
        _need(
            one,
            self,
            "step_size",
            self.step_size,
            both,
            "give step_size, such as 1000, or milestones, such as 1000,1500",
        )

    def __call__(self, step: int) -> float:
        passed = step // self.step_size if self.step_size else sum(step >= m for m in self.milestones)
        return self.lr * power(self.gamma, passed)


@dataclass(frozen=True)
class Cosine:
    """floor + (lr - floor) * (1 + cos(pi * step / steps)) / 2, then floor (PyTorch's CosineAnnealingLR).

    After Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts" (arXiv 1608.03983).
    """

    lr: float
    steps: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        _need(self.steps >= 1, self, "steps", self.steps, "must be >= 1")

    def __call__(self, step: int) -> float:
        return _anneal(self.lr, self.floor, step / self.steps)


@dataclass(frozen=True)
class Polynomial:
    """floor + (lr - floor) * (1 - step / steps)^power, then floor (PyTorch's PolynomialLR, whose floor is 0)."""

    lr: float
    steps: int
    power: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        _need(self.steps >= 1, self, "steps", self.steps, "must be >= 1")
        _need(self.power > 0, self, "power", self.power, "must be > 0")

    def __call__(self, step: int) -> float:
        return self.floor + (self.lr - self.floor) * power(max(1 - step / self.steps, 0.0), self.power)


@dataclass(frozen=True)
class OneCycle:
    """Up from lr / div_factor to lr, then down to lr / div_factor / final_div_factor, each half a cosine (PyTorch's
    OneCycleLR, without its cycle of the momentum).

    pct_start: the part of the steps that goes up.   After Smith and Topin 2018, "Super-convergence" (arXiv 1708.07120).
    """

    lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        _need(0 < self.pct_start < 1, self, "pct_start", self.pct_start, "must be in (0, 1)")
        _need(
            min(self.div_factor, self.final_div_factor) > 0,
            self,
            "div_factor, final_div_factor",
            (self.div_factor, self.final_div_factor),
            "must be > 0",
        )
        peak = self.pct_start * self.steps - 1
        _need(
            0 < peak < self.steps - 1,
            self,
            "steps",
            self.steps,
            f"with pct_start {self.pct_start} put the peak at step {peak:g}, which needs room on both sides",
            f"take at least {int(1 / min(self.pct_start, 1 - self.pct_start)) + 1} steps, or another pct_start",
        )

    def __call__(self, step: int) -> float:
        peak, low = self.pct_start * self.steps - 1, self.lr / self.div_factor
        if step <= peak:
            return _anneal(low, self.lr, step / peak)
        return _anneal(self.lr, low / self.final_div_factor, (step - peak) / (self.steps - 1 - peak))


@dataclass(frozen=True)
class Warmup:
    """Linear from near 0 to where `inner` starts, then inner: inner(0) * (step + 1) / (steps + 1) while step < steps.

    PyTorch's LinearLR with start_factor 1 / (steps + 1). After Goyal et al. 2017, "Accurate, large minibatch SGD"
    (arXiv 1706.02677).
    """

    inner: Callable[[int], float]
    steps: int

    def __post_init__(self) -> None:
        _need(self.steps >= 0, self, "steps", self.steps, "must be >= 0")

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return self.inner(0) * (step + 1) / (self.steps + 1)
        return self.inner(step - self.steps)


def _anneal(start: float, end: float, share: float) -> float:
    """Half a cosine from start to end."""
    return end + (start - end) / 2 * (1 + cosine(min(share, 1.0)))


def _need(true: bool, schedule: object, name: str, value: object, what: str, cure: str = "") -> None:
    if not true:
        raise UsageError(f"{type(schedule).__name__}: {name} {value} {what}", cure)


SCHEDULES: dict[str, type] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "polynomial": Polynomial,
    "one-cycle": OneCycle,
}
