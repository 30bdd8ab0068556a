"""Mean: the loss over several batches, each weighed by its mass.

It is a sum that goes on, not a list: so a run that is cut within an epoch saves two numbers, and says the same loss of that
epoch, to the bit, as one that is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..mpi.strategy import Report


@dataclass
class Mean:
    """sum of loss * mass / sum of mass."""

    total: float = 0.0
    mass: float = 0.0

    def add(self, reports: Iterable[Report]) -> None:
        for report in reports:
            self.total += report.loss * report.mass
            self.mass += report.mass

    @property
    def loss(self) -> float:
        """That of no batch is a NaN."""
        return self.total / self.mass if self.mass else float("nan")
