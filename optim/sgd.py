"""Descent and the kinds of momentum, in PyTorch's form and names where it has them.

SGD is one class, as users expect; which of two ops runs follows from the momentum, and with momentum 0 both give the
same bits. Formulas and sources stand with the ops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import UsageError
from ..kernels import ops
from ..kernels.op import Op
from ..nn.arena import Arena
from .optimizer import Optimizer, State, within

INFINITY = float("inf")


@dataclass(frozen=True)
class SGD(Optimizer):
    """w <- w - lr * g, or with momentum v <- momentum * v + (1 - dampening) * g; w <- w - lr * v.

    The first velocity is g, not dampened. nesterov: PyTorch's form, kernels.ops.momentum; NAG is the exact one.
    """

    momentum: float = within(0, INFINITY, 0.0)
    dampening: float = within(-INFINITY, INFINITY, 0.0)
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            problem = f"SGD: nesterov needs momentum > 0 ({self.momentum}) and dampening 0 ({self.dampening})"
            raise UsageError(problem, "set momentum to 0.9, or nesterov to false")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        if not self.momentum:
            return ops.sgd, {}
        kind = {"momentum": self.momentum, "dampening": self.dampening, "nesterov": self.nesterov}
        return ops.momentum, {**kind, "first": step == 0}


@dataclass(frozen=True)
class Sutskever(Optimizer):
    """v <- momentum * v - lr * g; w <- w + v: as SGD with momentum while lr is constant."""

    momentum: float = within(0, INFINITY, 0.9)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.sutskever, {"momentum": self.momentum}


@dataclass(frozen=True)
class NAG(Optimizer):
    """Nesterov's method, exact: as Sutskever, with the gradient taken at w + momentum * v.

    prepare() moves the weights there and keeps w in a slot; between update() and prepare() the weights are the exact ones.
    """

    momentum: float = within(0, INFINITY, 0.9)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exact", "velocity")

    @property
    def kept(self) -> tuple[str, ...]:
        return ("velocity",)

    def prepare(self, w: Arena, state: State, step: int, backend: str = "cpu") -> None:
        ops.look_ahead(w.flat, state["exact"].flat, state["velocity"].flat, momentum=self.momentum, backend=backend)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.nag, {"momentum": self.momentum}


@dataclass(frozen=True)
class QHM(Optimizer):
    """v <- momentum * v + (1 - momentum) * g; w <- w - lr * ((1 - nu) * g + nu * v). Defaults as its authors advise.

    Coming from SGD with momentum, multiply lr by 1 / (1 - momentum).
    """

    momentum: float = within(0, 1, 0.999)
    nu: float = within(-INFINITY, INFINITY, 0.7)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.qhm, {"momentum": self.momentum, "nu": self.nu}


@dataclass(frozen=True)
class AggMo(Optimizer):
    """v[k] <- betas[k] * v[k] + g; w <- w - lr * mean of the v[k]. One slot for each of betas."""

    betas: tuple[float, ...] = within(0, 1, (0.0, 0.9, 0.99))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.betas:
            raise UsageError("AggMo: betas () names no velocity", "the default is (0.0, 0.9, 0.99)")

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(f"velocity{k}" for k in range(len(self.betas)))

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(slot for slot, beta in zip(self.slots, self.betas, strict=True) if beta)  # at 0 it forgets at once

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        return ops.aggmo, {"betas": self.betas}

    def _buffers(self, op: Op, w: Arena, state: State) -> list[Any]:
        return [tuple(state[slot].flat for slot in self.slots)]
