"""gather: rows that lie on many ranks, below each other on rank 0.

The one thing an allreduce cannot do: scores of which every single one is needed, and predictions that one rank writes.
Rows go straight to rank 0, once; other ranks need no memory for what is not theirs.
"""

from __future__ import annotations

import numpy as np

from .collectives import USER_TAGS
from .communicator import Communicator

TAG = USER_TAGS - 1


def gather(communicator: Communicator, rows: np.ndarray, name: str) -> np.ndarray | None:
    """(sum of all n, ...) on rank 0, in rank order; None on the others. Collective.

    rows: (n, ...), of one dtype and row shape on every rank; n may differ and be 0.
    """
    counts = communicator.allgather_obj(len(rows), name)
    if communicator.rank:
        if len(rows):
            communicator.send(np.ascontiguousarray(rows), 0, TAG, name)
        return None
    out = np.empty((sum(counts), *rows.shape[1:]), rows.dtype)
    out[: counts[0]] = rows
    ends = np.cumsum(counts)
    others = [rank for rank in range(1, communicator.size) if counts[rank]]
    requests = [communicator.irecv(out[ends[r] - counts[r] : ends[r]], r, TAG, name) for r in others]
    for request in requests:
        request.wait()
    return out
