"""Strategy: the one face of every way to train.

The loop of train/ knows nothing else: it feeds global batches, drains before it looks at weights, and saves what
state() returns. Synchronous strategies finish a batch inside feed(); asynchronous ones return the reports of earlier
batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from ..core.spec import Spec, State

Role = Literal["worker", "server", "idle"]
Fetch = Callable[[np.ndarray], tuple[Any, Any]]  # global sample indices -> (x, target) of this rank's samples
Observe = Callable[[np.ndarray, Any, Any], None]  # (samples, z, target), where outputs are: z is gone afterwards
Predicted = Callable[[np.ndarray, Any], None]  # (samples, z)
Read = Callable[[str, Spec], Any]  # logical name, slice wanted -> array


@dataclass(frozen=True)
class Report:
    """One global batch, the same on every rank.

    step: its number from 0.   samples: its size.   loss: the mean over its mass.   right: terms classified correctly.
    mass: the weight of its terms: the number of samples, or of positions where each has a label (nn.loss).
    """

    step: int
    samples: int
    loss: float
    right: int
    mass: float


class Strategy(Protocol):
    role: Role

    def needs(self, batch: np.ndarray) -> np.ndarray:
        """The samples of this global batch that this rank will fetch, so that they can be read ahead."""

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Compiles every kernel and fills the pools for batches of these sizes; weights stay as they are."""

    def feed(self, batch: np.ndarray) -> list[Report]:
        """Trains on the global batch of these sample indices; every rank passes the same."""

    def drain(self) -> list[Report]:
        """Finishes what is in flight; after it, weights are those after the last batch fed."""

    def evaluate(self, batch: np.ndarray, fetch: Fetch, observe: Observe | None = None) -> Report:
        """Loss and hits on a global batch, without training; the ranks that hold outputs show them to observe."""

    def predict(self, batch: np.ndarray, fetch: Fetch, observe: Predicted) -> None:
        """Outputs only: the ranks that hold them show them to observe."""

    def remarks(self, batch: int) -> list[str]:
        """What a user must know of how batches of this size are treated, if it is not what serial training does."""

    def state(self) -> State:
        """What a checkpoint must hold, under logical names; valid after drain()."""

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        """Continues from a saved state; read fetches each slice this rank wants."""
