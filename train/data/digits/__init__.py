"""The embedded digits: 1,797 images small enough to travel in the wheel, so that the first command needs no download.

The file and the split were made once, by the lines in SOURCE.md; the split is stored, never drawn again, so that no
library's random numbers can move it. white is 16, mean 0.3054, deviation 0.3759: those of the training images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...config import Data
from ..assembly import Part, assemble
from ..dataset import Dataset
from ..fingerprint import fingerprint
from ..scaling import filled

FILE = Path(__file__).with_name("digits.npz")


def open_digits(data: Data, dtype: np.dtype) -> Dataset:
    images, labels, train, test = read()
    data = filled(data, white=16.0, mean=(0.3054,), deviation=(0.3759,), classes=10)
    digest = fingerprint([("images", images), ("labels", labels)])
    parts = [Part(images[rows], labels[rows]) for rows in (train, test)]
    return assemble("digits", data, dtype, digest, *parts)


def read() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """images (1797, 8, 8) uint8 in 0..16, labels (1797,) uint8, train (1437,) and test (360,) int16 indices."""
    with np.load(FILE) as file:
        return file["images"], file["labels"], file["train"], file["test"]
