"""Replica: all arrays of one copy of a model, or of a part of it, by the roles of its Specs.

Gradients have the layout of the weights, statistics one of their own, in float64: they count samples. What layers read and
what they add into are one tree each, so that no layer and no container knows how many arenas there are.

    read:  weights + borrowed + buffers              add:  gradients + owed (for what is borrowed) + statistics
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.shape import Shape
from .arena import Arena, Layout, together
from .module import Module


class Replica:
    """The arenas of `model` for samples of `shape`, zero until initialise().

    p, g: the trees that forward, backward and commit take.   backend: where the arenas are, "gpu" for device memory.
    """

    def __init__(self, model: Module, shape: Shape, dtype: Any = np.float32, backend: str = "cpu"):
        self.model, self.shape, self.backend = model, shape, backend
        specs = model.specs(shape)
        self.weights = Arena(Layout(specs), dtype, backend)
        self.gradients = self.weights.like()
        self.buffers = Arena(Layout(specs, "buffer"), dtype, backend)
        self.statistics = Arena(Layout(specs, "statistic"), np.float64, backend)
        self.borrowed = Arena(Layout(specs, "borrowed"), dtype, backend)
        self.owed = self.borrowed.like()
        self.p = together(self.weights, self.borrowed, self.buffers)
        self.g = together(self.gradients, self.owed, self.statistics)

    def initialise(self, seed: int, backend: str = "cpu") -> Replica:
        """Weights and buffers as their Specs say."""
        self.weights.initialise(seed, backend)
        self.buffers.initialise(seed, backend)
        return self

    def clear(self) -> None:
        """Before a global batch: nothing has been added."""
        for arena in (self.gradients, self.owed, self.statistics):
            arena.flat.fill(0)

    def commit(self) -> None:
        """After a global batch: its statistics go into the buffers."""
        self.model.commit(self.p, self.g)

    def like(self) -> Replica:
        """A zero replica of the same model."""
        return Replica(self.model, self.shape, self.weights.dtype, self.backend)
