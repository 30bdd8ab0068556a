"""Optimizer: the face that strategies see, and all that update rules have in common.

A rule is three answers: its hyper-parameters (the fields), its state (slots), and the op of a step with its settings.
Everything else is said here once. Whatever changes from step to step is computed from the number of the step, so the
state is arenas only and a checkpoint needs nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from ..core.errors import UsageError
from ..kernels.op import Op
from ..nn.arena import Arena

Rate: TypeAlias = float | Callable[[int], float]  # a number, or a schedule: update step from 0 -> number
State: TypeAlias = dict[str, Arena]


def within(low: float, high: float, default: Any, **how: Any) -> Any:
    """A field whose value, or each of whose values, lies in [low, high)."""
    return field(default=default, metadata={"range": (low, high)}, **how)


@dataclass(frozen=True)
class Optimizer:
    """Fields every rule has: lr, a number >= 0 or a schedule; weight_decay, for the tensors whose Spec says decay (weights,
    not biases), added to the gradient (L2) unless the rule says otherwise.

    slots: the names of the state buffers, one Arena each, zero at the start; also the names of the op's arguments.
    kept: those that the next step reads before it writes them, so what a checkpoint must hold.
    Raises UsageError for values out of range.
    """

    lr: Rate = 1e-3
    weight_decay: float = within(0, float("inf"), 0.0, kw_only=True)

    def __post_init__(self) -> None:
        self._check("lr", self.rate(0), 0, float("inf"), "a usual one is 0.001")
        for item in fields(self):
            if "range" in item.metadata:
                value, (low, high) = getattr(self, item.name), item.metadata["range"]
                for number in value if isinstance(value, tuple) else (value,):
                    self._check(item.name, number, low, high, f"the default is {item.default}")

    def _check(self, name: str, number: Any, low: float, high: float, cure: str) -> None:
        if not low <= number < high:
            raise UsageError(f"{type(self).__name__}: {name} {number} must be in [{low}, {high})", cure)

    @property
    def slots(self) -> tuple[str, ...]:
        return ()

    @property
    def kept(self) -> tuple[str, ...]:
        return self.slots

    def rate(self, step: int) -> float:
        """The learning rate of an update; steps count from 0."""
        return float(self.lr(step) if callable(self.lr) else self.lr)

    def rule(self, step: int) -> tuple[Op, dict[str, Any]]:
        """The op of this update and its settings, without lr and weight_decay."""
        raise NotImplementedError

    def prepare(self, w: Arena, state: State, step: int, backend: str = "cpu") -> None:
        """Before forward: writes the weights at which this step's gradients are to be taken."""

    def update(self, w: Arena, g: Arena, state: State, step: int, backend: str = "cpu") -> None:
        """One update of all weights from all gradients; step counts updates from 0."""
        op, settings = self.rule(step)
        settings = {"lr": self.rate(step), "weight_decay": self.weight_decay, **settings}
        op(w.flat, g.flat, *self._buffers(op, w, state), w.layout.decay, backend=backend, **settings)

    def _buffers(self, op: Op, w: Arena, state: State) -> list[Any]:
        """The op's state arguments; one that this rule does without is empty."""
        return [state[name].flat if name in self.slots else w.flat[:0] for name in op.updates if name != "w"]
