"""Agreement: before step 0 all ranks compare what they believe, because a difference shows itself only as a bad result.

Facts are compared as strings (hashes of what is long), all at once, against rank 0. Every rank sees the same table, so
every rank raises the same error and nobody is left waiting.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from ..core.cores import affinity, quota, threads_per_rank
from ..core.errors import DataError, PlatformError, ShoalError, UsageError
from .communicator import Communicator

ERRORS: dict[str, type[ShoalError]] = {"versions": PlatformError, "data": DataError}  # anything else: UsageError


def agree(communicator: Communicator, facts: Mapping[str, str]) -> None:
    """Raises unless all ranks hold the same facts: {"configuration": hash, "versions": hash, "data": hash, ...}."""
    everyone = communicator.allgather_obj(dict(facts), "agreement")
    for thing in sorted({key for theirs in everyone for key in theirs}):
        values = [theirs.get(thing, "nothing") for theirs in everyone]
        others = [rank for rank, value in enumerate(values) if value != values[0]]
        if others:
            ranks = f"rank{'s' if len(others) > 1 else ''} {', '.join(map(str, others))}"
            raise ERRORS.get(thing, UsageError)(
                f"{ranks} and rank 0 do not hold the same {thing}: {values[others[0]]} is not {values[0]}",
                f"give every machine the same {thing}, then start again",
            )


def threads(communicator: Communicator) -> int:
    """Threads for this rank: the cores it may use, shared with the ranks of its machine."""
    mine = [platform.node(), sorted(affinity())]
    everyone = communicator.allgather_obj(mine, "cores")
    here = [rank for rank, (node, _) in enumerate(everyone) if node == mine[0]]
    masks = [frozenset(everyone[rank][1]) for rank in here]
    return threads_per_rank(masks, here.index(communicator.rank), quota())
