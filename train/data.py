"""Dataset: pixels stay bytes; a share of a batch becomes floats when it is read.

    x = (pixel / white - mean) / deviation        white: 16 for digits, 255 for IDX files

mean and deviation are fixed numbers, those of the training images, written here and not computed at the start: a rank,
an evaluation and an inference device then agree without asking each other.

    source    mean     deviation
    digits    0.3054   0.3759
    fashion   0.2860   0.3530
    idx       0.1307   0.3081      MNIST's, for any folder with its file names
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, UsageError
from ..core.shape import Shape
from . import digits, idx
from .config import Data

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it


@dataclass(frozen=True)
class Split:
    """Images and their labels; x = pixel * scale + offset.

    pixels: (N, H, W, C) uint8.   labels: (N,) int64.
    """

    pixels: np.ndarray
    labels: np.ndarray
    scale: float
    offset: float
    dtype: Any = np.float32

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(x (n, H, W, C) in the split's dtype, labels (n,) int64) of these samples."""
        x = self.pixels[indices].astype(self.dtype)
        x *= self.dtype(self.scale)
        x += self.dtype(self.offset)
        return x, self.labels[indices]


@dataclass(frozen=True)
class Dataset:
    """Two splits of samples of one shape in `classes` classes."""

    name: str
    classes: int
    train: Split
    test: Split

    @property
    def shape(self) -> Shape:
        """(H, W, C) of a sample."""
        return self.train.pixels.shape[1:]

    @cached_property
    def digest(self) -> str:
        """A hash of every pixel and label, for the check that all ranks read the same."""
        content = blake2b(digest_size=16)
        for array in (self.train.pixels, self.train.labels, self.test.pixels, self.test.labels):
            content.update(repr(array.shape).encode() + array.tobytes())
        return content.hexdigest()


def open_dataset(data: Data, dtype: str = "float32") -> Dataset:
    """The data set that the configuration names; DataError with the cure where it cannot be believed."""
    return SOURCES[data.source](data, np.dtype(dtype).type)


def _digits(data: Data, dtype: Any) -> Dataset:
    images, labels, train, test = digits.read()
    return _dataset("digits", 10, [(images[i], labels[i]) for i in (train, test)], (16, 0.3054, 0.3759), dtype)


def _fashion(data: Data, dtype: Any) -> Dataset:
    cure = "apt install dataset-fashion-mnist, or data.path=FOLDER with its four files"
    splits = idx.read_folder(Path(data.path) if data.path else FASHION, cure)
    return _dataset("fashion", 10, list(splits.values()), (255, 0.2860, 0.3530), dtype)


def _idx(data: Data, dtype: Any) -> Dataset:
    if not data.path:
        raise UsageError('data.source = "idx" needs data.path', "data.path=FOLDER with MNIST's four file names")
    splits = idx.read_folder(Path(data.path), "data.path=FOLDER with MNIST's four files, complete")
    classes = int(splits["train"][1].max()) + 1
    return _dataset(data.path, classes, list(splits.values()), (255, 0.1307, 0.3081), dtype)


def _dataset(name: str, classes: int, splits: list, numbers: tuple[float, float, float], dtype: Any) -> Dataset:
    white, mean, deviation = numbers
    made = []
    for images, labels in splits:
        if labels.max() >= classes:
            raise DataError(f"{name}: a label is {labels.max()}, but there are {classes} classes (0 to {classes - 1})")
        pixels = np.ascontiguousarray(images)[..., np.newaxis]
        made.append(Split(pixels, labels.astype(np.int64), 1 / (white * deviation), -mean / deviation, dtype))
    return Dataset(name, classes, *made)


SOURCES = {"digits": _digits, "fashion": _fashion, "idx": _idx}
