"""The fixed-order allreduce: the same bits whatever the buckets, the timing and the MPI.

A ring adds each element in an order that depends on where the element lies, and an MPI library in an order of its own
choice. Here every element is added in rank order by the one rank that owns its slice:

    rank r:   receive a[slice r] from all    y = ((a_0 + a_1) + a_2) + ...    send y to all; receive the other slices

Bytes sent per rank are n - n_r + (p-1)*n_r for n_r the bytes of its slice: 2(p-1)/p*n where p divides, as a ring and as
every bandwidth-optimal allreduce (Thakur, Rabenseifner, Gropp 2005). Messages per rank are 2(p-1), whatever n, in two
rounds instead of the ring's 2(p-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..kernels import ops
from .operation import Operation, Staged


def slices(n: int, parts: int) -> list[tuple[int, int]]:
    """[start, stop) of `parts` contiguous slices of n elements whose sizes differ by at most 1."""
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def fixed_order(owner: Any, a: np.ndarray, name: str) -> Operation:
    """Starts the sum of a over the owner's ranks, in place."""
    bounds = slices(a.size, owner.size)
    start, stop = bounds[owner.rank]
    parts = owner.pool.empty((owner.size, stop - start), a.dtype)
    stages = _stages(owner, a.reshape(-1), parts, bounds, name)
    return Staged(owner, "allreduce", name, stages, scratch=parts, size=a.nbytes)


def _stages(
    owner: Any, a: np.ndarray, parts: np.ndarray, bounds: list[tuple[int, int]], name: str
) -> Iterator[list[Operation]]:
    tags = owner.collective_tag("allreduce", name)
    others = [(owner.rank + i) % owner.size for i in range(1, owner.size)]  # staggered: nobody is everyone's first
    mine = a[slice(*bounds[owner.rank])]
    parts[owner.rank] = mine
    receives = [owner.irecv(parts[r], r, tags[0], name) for r in others]
    yield receives + [owner.isend(a[slice(*bounds[r])], r, tags[0], name) for r in others]
    if mine.size:
        ops.ordered_sum(parts, out=mine, pool=owner.pool, backend=owner.backend)
    # Only now: the slices received here were send buffers a moment ago.
    receives = [owner.irecv(a[slice(*bounds[r])], r, tags[1], name) for r in others]
    yield receives + [owner.isend(mine, r, tags[1], name) for r in others]
