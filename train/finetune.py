"""Fine-tuning: weights from elsewhere before step 0, all that are not declared fresh.

To a strategy it looks like a checkpoint of step 0, whose optimizer state and fresh weights are those the strategy has anyway. So
it works under every strategy, and knows none.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ..checkpoint.agreement import together
from ..core.errors import DataError
from ..core.spec import Spec, State
from ..mpi.strategy import Read
from . import weights
from .build import Job


def load(job: Job) -> str:
    """Gives the strategy the weights in model.weights, a collective call; one line about it, "" where none are named.

    CheckpointError, the same on every rank, where the file cannot be read or does not fit; DataError where ranks read
    different files.
    """
    settings = job.config.model
    arrays: dict[str, np.ndarray] = {}
    if not settings.weights:
        return ""

    def read() -> str:
        found = weights.read(Path(settings.weights))
        arrays.update(weights.fit(found, job.model, job.dataset.shape, settings.name, settings.fresh))
        return _digest(arrays)

    if len(set(together(job.comm, "model.weights", read))) > 1:
        raise DataError(
            f"the ranks do not read the same weights from {settings.weights}", "put it where all see one file"
        )
    state = job.strategy.state()
    job.strategy.load_state(reader(state, arrays), state.meta)
    fresh = f", fresh: {', '.join(settings.fresh)}" if settings.fresh else ""
    return f"{len(arrays)} tensors from {settings.weights}{fresh}"


def reader(state: State, arrays: Mapping[str, np.ndarray]) -> Read:
    """Reads the slice that is asked for of the weights in `arrays`, and everything else from `state`, where this rank holds it."""

    def read(name: str, spec: Spec) -> np.ndarray:
        short = name.removeprefix(weights.PREFIX)
        if name == short or short not in arrays:
            return state.tensors[name][1] if name in state.tensors else np.empty(spec.shape)  # another stage's
        return arrays[short][tuple(slice(o, o + n) for o, n in zip(spec.origin, spec.shape, strict=True))]

    return read


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    content = blake2b(digest_size=16)
    for name in sorted(arrays):
        content.update(name.encode() + np.ascontiguousarray(arrays[name]).data)
    return content.hexdigest()
