"""Reading one generation, on one process: verified whole before the first number is handed out.

Verification reads every byte once. That is the price of never continuing from a torn state, and small beside the
training it protects.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CheckpointError
from ..core.spec import Spec
from . import manifest, shard


class Meta(dict[str, Any]):
    """The facts of a State; a missing one is an error that names it and the generation."""

    def __init__(self, facts: dict[str, Any], path: Path):
        super().__init__(facts)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise CheckpointError(f"{self.path} lacks the fact {key!r}; it has {sorted(self)}")


class Generation:
    """A verified generation, open for reading.   meta: the facts of the State that was saved.

    CheckpointError, naming the file, if any of it is missing, damaged or of a newer format.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if problems := verify(self.path):
            raise CheckpointError("\n  ".join(problems), "use another generation")
        self.manifest = manifest.load(self.path)
        self.meta = Meta(self.manifest.meta, self.path)
        self._open = ExitStack()
        self._files = {file.name: self._opened(self.path / file.name) for file in self.manifest.files}

    def _opened(self, path: Path) -> h5py.File:
        try:
            return self._open.enter_context(h5py.File(self._open.enter_context(path.open("rb")), "r"))
        except OSError as error:
            raise CheckpointError(f"{path} cannot be opened: {error}", "use another generation") from error

    def read(self, name: str, spec: Spec) -> np.ndarray:
        """The slice that `spec` describes of the logical tensor `name`, in the dtype it was saved in.

        Put together from whatever slices were saved, so any strategy reads any generation.
        """
        stored = list(self.manifest.slices(name))
        if not stored:
            raise CheckpointError(f"{self.path} holds no tensor {name!r}", self._cure(name))
        first = stored[0][1]
        if first.global_shape != tuple(spec.global_shape):
            raise CheckpointError(
                f"{name} is {first.global_shape} in {self.path}, the model has {tuple(spec.global_shape)}",
                "load it into the model that was saved",
            )
        out = np.empty(spec.shape, first.dtype)
        found = sum(shard.copy(self.path / file.name, self._files[file.name], one, spec, out) for file, one in stored)
        if found != out.size:
            raise CheckpointError(f"{self.path} has {found} of the {out.size} elements of {name} at {spec.origin}")
        return out

    def _cure(self, missing: str) -> str:
        """A whole slot is missing if the optimizer has other settings, a part of one if the model is another."""
        slot = missing.rpartition("/")[0] + "/"
        saved = any(one.name.startswith(slot) for file in self.manifest.files for one in file.slices)
        if saved or not slot.startswith("optimizer/"):
            return "load it into the model that was saved"
        return "the run was saved with other optimizer settings: give those, first of all the same optim.name and optim.momentum"

    def close(self) -> None:
        self._open.close()


def verify(path: Path) -> list[str]:
    """What is wrong with the generation in the folder `path`, each with the file's name; [] if it can be believed."""
    try:
        files = manifest.load(Path(path)).files
    except CheckpointError as error:
        return [str(error)]
    return [problem for file in files if (problem := shard.damage(Path(path), file))]
