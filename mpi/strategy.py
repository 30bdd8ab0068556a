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
Fetch = Callable[[np.ndarray], tuple[Any, Any]]  # global sample indices -> (x, labels) of this rank's samples
Read = Callable[[str, Spec], Any]  # logical name, slice wanted -> array


@dataclass(frozen=True)
class Report:
    """One global batch, the same on every rank.

    step: its number from 0.   samples: its size.   loss: the mean over it.   right: samples classified correctly.
    """

    step: int
    samples: int
    loss: float
    right: int


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

    def evaluate(self, batch: np.ndarray, fetch: Fetch) -> Report:
        """Loss and hits on a global batch, without training."""

    def state(self) -> State:
        """What a checkpoint must hold, under logical names; valid after drain()."""

    def load_state(self, read: Read, meta: dict[str, Any]) -> None:
        """Continues from a saved state; read fetches each slice this rank wants."""
