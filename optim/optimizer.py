"""Optimizer: the face that strategies see."""

from __future__ import annotations

from typing import Any, Protocol

from ..nn.arena import Arena


class Optimizer(Protocol):
    """slots: the names of the state buffers, one Arena each, zero at the start ("velocity", ...)."""

    @property
    def slots(self) -> tuple[str, ...]: ...

    def update(self, w: Arena, g: Arena, state: dict[str, Arena], step: int, backend: str = "cpu") -> Any:
        """One update of all weights from all gradients; step counts updates from 0."""
