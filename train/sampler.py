"""Sampler: the order of the samples is a function of (seed, epoch), so a position is two numbers, and nobody is asked.

    order(epoch) = argsort_i bits[i]      bits = random_bits(samples, key(seed, "shuffle"), step = epoch), ties by index

Every rank computes the whole order and takes global batches from it; who gets which samples of a batch is for the
strategy to say. The last batch of an epoch is as large as what is left: no sample is dropped or seen twice.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import UsageError
from ..core.random import key
from ..kernels import ops


class Sampler:
    """Global batches of `samples` training samples.

    len(sampler): steps of one epoch.   sizes: the batch sizes that occur, for the warm-up.
    """

    def __init__(self, samples: int, batch: int, seed: int, backend: str = "cpu"):
        if not 1 <= batch <= samples:
            raise UsageError(
                f"train.batch = {batch} with {samples} training samples", f"use train.batch from 1 to {samples}"
            )
        self.samples, self.batch = samples, batch
        self.key, self.backend = key(seed, "shuffle"), backend

    def __len__(self) -> int:
        return -(-self.samples // self.batch)

    @property
    def sizes(self) -> list[int]:
        return sorted({self.batch, self.samples % self.batch or self.batch}, reverse=True)

    def order(self, epoch: int) -> np.ndarray:
        """(samples,) int64: every sample once."""
        bits = ops.random_bits(np.arange(self.samples), self.key, epoch, 1, backend=self.backend)
        return np.argsort(bits[:, 0], kind="stable")

    def batches(self, epoch: int, start: int = 0) -> list[np.ndarray]:
        """The epoch's batches from number `start` on, each a (n,) int64 array of sample indices."""
        return in_batches(self.order(epoch), self.batch)[start:]

    def position(self, step: int) -> tuple[int, int]:
        """(epoch, batch within it) of a global step."""
        return divmod(step, len(self))


def in_batches(indices: np.ndarray, batch: int) -> list[np.ndarray]:
    """Consecutive pieces of `batch` indices; the last may be smaller."""
    return [indices[i : i + batch] for i in range(0, len(indices), batch)]
