"""The face of data: a split is a length and a read, and what a data set says of itself is what its splits give.

    Split      len(split), split.read(indices) -> (x, target)
    Dataset    two splits of one kind of sample, the hash that ranks compare, the configuration it was opened by

Shapes and dtypes are those of a read of nothing, so nothing can be said that is not so. The configuration comes back
complete: what was left open (the numbers of the normalisation, names of classes, characters of a text) is filled in
with what the training part says. It travels with the run and its checkpoints, so that every rank, an evaluation on
other data and an inference device treat samples as training did, without asking each other and without the training
part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ...core.shape import Shape
from ...kernels.op import Like
from ..config import Data


class Split(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x (n, ...), target (n, ...)), contiguous, of these n samples in this order; n may be 0.

        indices: (n,) int64.   DataError where what is stored cannot be believed.
        """


@dataclass(frozen=True)
class Dataset:
    """Two splits, and what they are.

    classes: of a label, 0 where targets are real values.   digest: fingerprint.py says what it covers.
    config: the section [data], complete.
    """

    name: str
    classes: int
    digest: str
    config: Data
    train: Split
    test: Split

    @cached_property
    def _nothing(self) -> tuple[np.ndarray, np.ndarray]:
        return self.train.read(np.empty(0, np.int64))

    @property
    def sample(self) -> Like:
        """Shape and dtype of one x: real values (H, W, C), (T, C) or (C,), or indices (T,) int64."""
        x = self._nothing[0]
        return Like(x.shape[1:], x.dtype)

    @property
    def target(self) -> Like:
        """Shape and dtype of one target."""
        target = self._nothing[1]
        return Like(target.shape[1:], target.dtype)

    @property
    def targets(self) -> Literal["label", "labels", "values"]:
        """A class of the sample, a class at each of its positions, or real values."""
        if not self.classes:
            return "values"
        return "labels" if self.target.shape else "label"

    @property
    def shape(self) -> Shape:
        return self.sample.shape

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, where they have names."""
        return self.config.labels

    @property
    def vocabulary(self) -> str:
        """The characters of a text, by number; "" where x is no text."""
        return self.config.vocabulary
