"""One generation for many ranks: rank 0 reads, everybody gets the slice it asked for.

Only rank 0 opens files, so a folder that one machine alone can see is enough to resume from, and a thousand ranks do
not read the same bytes from one file server. Equal wishes, those of replicas, are served once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.spec import Spec
from ..mpi.communicator import Communicator
from . import slices
from .agreement import on_rank_0
from .generation import Generation, Meta


class SharedGeneration:
    """A verified generation that all ranks read together.   meta: the facts of the State that was saved.   ranks: that saved it."""

    def __init__(
        self, communicator: Communicator, path: Path, meta: dict[str, Any], ranks: int, source: Generation | None
    ):
        self.communicator = communicator
        self.path = path
        self.meta = Meta(meta, path)
        self.ranks = ranks
        self._source = source  # on rank 0 only

    @classmethod
    def open(cls, communicator: Communicator, find: Callable[[], Generation | None]) -> SharedGeneration | None:
        """What `find` finds on rank 0, for all ranks; its error is everybody's."""
        source: Generation | None = None

        def look() -> list[Any] | None:
            nonlocal source
            source = find()
            return [str(source.path), source.meta, source.manifest.ranks] if source else None

        found = on_rank_0(communicator, "checkpoint search", look)
        if not found:
            return None
        path, meta, ranks = found
        return cls(communicator, Path(path), meta, ranks, source)

    def read(self, name: str, spec: Spec) -> np.ndarray:
        """Collective: Generation.read for every rank.

        All ranks make the same number of calls; in one call they may ask for different slices, even of different
        tensors.
        """
        mine = [name, list(spec.shape), list(spec.origin), list(spec.global_shape)]
        wishes = self.communicator.allgather_obj(mine, "checkpoint wish")
        out = np.empty(0)
        for i, wish in enumerate(wishes):
            if wish not in wishes[:i]:
                served = self._serve(*wish)
                out = served if wish == mine else out
        return out

    def _serve(self, name: str, shape: list[int], origin: list[int], whole: list[int]) -> np.ndarray:
        """One slice, on every rank, through memory of one slice; messages of at most PIECE bytes."""
        out = np.empty(0)

        def read() -> str:
            nonlocal out
            assert self._source
            spec = Spec(name, tuple(shape), origin=tuple(origin), global_shape=tuple(whole))
            out = self._source.read(name, spec)
            return str(out.dtype)

        dtype = on_rank_0(self.communicator, f"read {name}", read)
        if self.communicator.rank != 0:
            out = np.empty(shape, dtype)
        data = out.reshape(-1).view(np.uint8)
        for start in range(0, data.size, slices.PIECE):
            self.communicator.broadcast(data[start : start + slices.PIECE], 0, f"read {name}")
        return out

    def close(self) -> None:
        if self._source:
            self._source.close()
