"""How an update rule is launched: its buffers, then the ranges where weight decay applies, then its numbers."""

from __future__ import annotations

from typing import Any

from .launch import BLOCK, WAVES, Source
from .memory import constant

_kernels = Source("optimizer.cu")
CHUNK = 4096  # as in optimizer.cu


def update(
    rule: str, w: Any, g: Any, *slots: Any, decay: Any, numbers: tuple, weight_decay: float = 0.0, shrink: float = 1.0
) -> None:
    """Passes over all buffers once; an unused slot, (0,), is never touched. decay is sent to the device at its first use."""
    decay = constant(w, ("decay", decay.tobytes()), lambda: decay)
    _kernels.launch(
        rule, blocks(w.size), BLOCK, w, g, *slots, decay, len(decay), w.size, weight_decay, shrink, *numbers
    )


def look_ahead(w: Any, exact: Any, velocity: Any, momentum: float) -> None:
    """x <- w, w <- w + momentum * v"""
    _kernels.launch("look_ahead", blocks(w.size), BLOCK, w, velocity, exact, w.size, momentum)


def blocks(n: int) -> int:
    """Blocks for n numbers."""
    return min(-(-n // CHUNK), WAVES)


def decayed(lr: float, weight_decay: float, decoupled: bool) -> dict[str, float]:
    """The two kinds of decay: added to the gradient, or taken off the weight."""
    return {"shrink": 1 - lr * weight_decay} if decoupled else {"weight_decay": weight_decay}
