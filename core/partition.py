"""How a global batch is shared out: by given proportions, exactly, ragged or not.

Shares are weights, not counts: the last batch of an epoch is smaller and is split by the same proportions. Largest
remainders make the counts add up, ties going to the lower rank, so every rank computes the same split by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import UsageError

MOST = 1e200  # of the sum of all shares: samples times a share stays finite


@dataclass(frozen=True)
class Partition:
    """Proportions of the global batch, one per rank; equal where none are given."""

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(share >= 0 for share in self.shares) or not 0 < sum(self.shares) < MOST:
            raise UsageError(
                f"shares {list(self.shares)} must not be negative, not all zero, and add up to less than {MOST:g}",
                "give parallel.shares numbers in proportion to the ranks' speeds, or none for equal shares",
            )

    @classmethod
    def of(cls, shares: Sequence[float], ranks: int) -> Partition:
        """Shares as configured, checked against the number of ranks; [] means equal."""
        if shares and len(shares) != ranks:
            raise UsageError(
                f"{len(shares)} shares {list(shares)} for {ranks} ranks",
                f"give parallel.shares {ranks} numbers, or none for equal shares",
            )
        return cls(tuple(map(float, shares)) or (1.0,) * ranks)

    def counts(self, total: int) -> list[int]:
        """How many of `total` samples each rank takes; they add up to total."""
        whole = sum(self.shares)
        exact = [total * share / whole for share in self.shares]
        counts = [int(e) for e in exact]
        by_remainder = sorted(range(len(exact)), key=lambda r: (counts[r] - exact[r], r))
        for rank in by_remainder[: total - sum(counts)]:
            counts[rank] += 1
        return counts

    def bounds(self, total: int, rank: int) -> tuple[int, int]:
        """[start, stop) of this rank's samples within a batch of `total`."""
        counts = self.counts(total)
        start = sum(counts[:rank])
        return start, start + counts[rank]
