"""DataParallel: every rank holds the whole model and takes a share of each batch.

Nothing but gradients has to travel, and while backward is still at work on the lower blocks, those of the upper ones are
on their way. A rank whose share is empty runs no layer, but joins every collective with zeros; unless layers normalise over
the batch of all replicas together: then it runs them on nothing, because they ask for its sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.partition import Partition
from ..nn.sequential import Sequential
from ..optim.optimizer import Optimizer
from .buckets import Flight
from .communicator import Communicator
from .synchronous import Synchronous, Use


class DataParallel(Synchronous):
    """Synchronous data parallelism by allreduce.

    Communication per step and rank: 2(p-1)/p * bytes of gradients and statistics, and 16 bytes of loss and hits likewise.
    Settings: those of Synchronous.   Buckets after Li et al. 2020, "PyTorch Distributed: experiences on accelerating data
    parallel training" (10.14778/3415478.3415530).
    """

    def __init__(
        self, model: Sequential, optimizer: Optimizer, communicator: Communicator, partition: Partition, **settings: Any
    ):
        super().__init__(model, optimizer, communicator, communicator, partition, **settings)

    def _train(self, x: Any, target: Any, samples: np.ndarray, scale: float, flight: Flight) -> None:
        parts = [part for part in self._cut(samples) if self.joint or part.start < part.stop]
        if not parts:
            flight.depart(self.tally, "loss")
        for number, part in enumerate(parts, 1):
            ctx = self._context(samples[part], training=True)
            z, saved = self.part.forward(self.replica.p, x[part], ctx)
            loss, right, dz = self.loss(z, target[part], scale, ctx)
            self.tally += loss, right
            del z
            last = number == len(parts)
            if last:
                flight.depart(self.tally, "loss")
            self.part.backward(self.replica.p, self.replica.g, saved, dz, ctx, after=flight.after if last else None)

    def _infer(self, x: Any, samples: np.ndarray, use: Use) -> None:
        for part in self._cut(samples):
            if part.start < part.stop:
                ctx = self._context(samples[part], training=False)
                use(part, self.part.infer(self.replica.p, x[part], ctx))
