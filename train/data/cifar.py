"""CIFAR-10 in its binary form: records of 3,073 bytes, read by memory map and only those that are asked for.

    label | 1,024 red, 1,024 green, 1,024 blue, each row by row          five files to train, one to test

mean 0.4914 0.4822 0.4465, deviation 0.2470 0.2435 0.2616: those of the 50,000 training images. Labels lie between the
pixels, so they are checked when a record is read; to look at all of them first would be to read everything.
Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009, "Learning multiple layers of features from tiny
images").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError
from ..config import Data
from .assembly import Part, assemble
from .dataset import Dataset
from .fingerprint import fingerprint, mapped
from .scaling import filled

RECORD = 1 + 3 * 32 * 32
TRAIN, TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CURE = "data.path=FOLDER that holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, complete"


def open_cifar10(data: Data, dtype: np.dtype) -> Dataset:
    data = filled(data, mean=(0.4914, 0.4822, 0.4465), deviation=(0.2470, 0.2435, 0.2616), classes=10, labels=LABELS)
    folder = Path(data.path)
    parts = [Part(Images(files), Labels(files)) for files in (Files(folder, TRAIN), Files(folder, TEST))]
    digest = fingerprint([(name, folder / name) for name in TRAIN + TEST])
    return assemble("cifar10", data, dtype, digest, *parts)


class Files:
    """Records of several files, numbered through."""

    def __init__(self, folder: Path, names: tuple[str, ...]):
        self.parts = [_records(folder / name) for name in names]
        self.starts = np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, indices: np.ndarray, columns: slice) -> np.ndarray:
        """(n, columns) uint8 of these records."""
        files = np.searchsorted(self.starts, indices, side="right") - 1
        found = np.empty((len(indices), len(range(RECORD)[columns])), np.uint8)
        for file in np.unique(files):
            here = files == file
            found[here] = self.parts[file][indices[here] - self.starts[file], columns]
        return found


class Images:
    """(N, 32, 32, 3) uint8."""

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Files):
        self.files, self.shape = files, (len(files), 32, 32, 3)

    def __getitem__(self, indices: Any) -> np.ndarray:
        return self.files.take(indices, slice(1, None)).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


class Labels:
    """(N,) uint8."""

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Files):
        self.files, self.shape = files, (len(files),)

    def __getitem__(self, indices: Any) -> np.ndarray:
        return self.files.take(indices, slice(0, 1))[:, 0]


def _records(path: Path) -> np.ndarray:
    raw = mapped(path, CURE)
    if not raw.size or raw.size % RECORD:
        problem = f"{path} holds {raw.size} bytes, which is {raw.size / RECORD:.3f} records of {RECORD} bytes"
        raise DataError(f"{problem}: it is truncated, or no such file", CURE)
    return raw.reshape(-1, RECORD)
