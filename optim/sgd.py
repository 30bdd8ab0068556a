"""SGD with and without momentum, PyTorch's form and names.

One class, as users expect; which of the two ops runs follows from the momentum, and with momentum 0 both give the same
bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import UsageError
from ..kernels import ops
from ..nn.arena import Arena


@dataclass(frozen=True)
class SGD:
    """w <- w - lr * g, or with momentum v <- momentum * v + (1 - dampening) * g; w <- w - lr * v.

    weight_decay is added to the gradient (L2) of the tensors whose Spec says decay (weights, not biases).
    Source: kernels.ops.sgd and kernels.ops.momentum.
    """

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not self.lr >= 0 or not self.momentum >= 0 or not self.weight_decay >= 0:
            raise UsageError(f"lr {self.lr}, momentum {self.momentum}, weight_decay {self.weight_decay} must be >= 0")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise UsageError(f"nesterov needs momentum > 0 ({self.momentum}) and dampening 0 ({self.dampening})")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def update(self, w: Arena, g: Arena, state: dict[str, Arena], step: int, backend: str = "cpu") -> None:
        decay = w.layout.decay
        if not self.momentum:
            ops.sgd(w.flat, g.flat, decay, lr=self.lr, weight_decay=self.weight_decay, backend=backend)
            return
        ops.momentum(
            w.flat,
            g.flat,
            state["velocity"].flat,
            decay,
            lr=self.lr,
            momentum=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            first=step == 0,
            backend=backend,
        )
