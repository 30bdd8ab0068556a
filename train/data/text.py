"""Text, character by character: a sample is a window, its target the same window one character on.

    x[i,t] = number of character i * stride + t          target[i,t] = x[i,t+1]

The first part of the file is for training, the last for the test (data.test_fraction). A file of ASCII characters is
read by memory map, a byte a character; any other UTF-8 is decoded into memory, four bytes a character, because there a
position in the file says nothing about a character. The vocabulary is every character of the file in the order of code
points, or data.vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError, UsageError
from ..config import Data
from .dataset import Dataset
from .division import test_size
from .fingerprint import fingerprint, mapped
from .scaling import filled
from .stored import Stored
from .windows import Windows, windows

PIECE = 1 << 20


def open_text(data: Data, dtype: np.dtype) -> Dataset:
    path = Path(data.path)
    codes, found = _characters(path)
    data = filled(data, vocabulary="".join(map(chr, found)), length=64)
    data = filled(data, stride=data.length)
    text = Text(codes, _numbers(path, data.vocabulary, found))
    name, size = data.path, len(codes)
    cut = size - test_size(name, size, data.test_fraction)
    splits = []
    for start, stop in ((0, cut), (cut, size)):
        shape = (start, windows(name, stop - start, data.length, data.stride), data.length, data.stride)
        x, y = Windows(text, *shape), Windows(text, *shape, shift=1)
        splits.append(Stored(name, x, y, (data.length,), len(data.vocabulary), None, dtype))
    return Dataset(name, len(data.vocabulary), fingerprint([("text", path)]), data, *splits)


class Text:
    """The numbers of characters by position."""

    dtype = np.dtype(np.int64)

    def __init__(self, codes: np.ndarray, numbers: np.ndarray):
        self.codes, self.numbers, self.shape = codes, numbers, codes.shape

    def __getitem__(self, positions: Any) -> np.ndarray:
        return self.numbers[self.codes[positions]]


def _characters(path: Path) -> tuple[np.ndarray, list[int]]:
    """(code points by position, the code points that occur)."""
    raw = mapped(path, "data.path=FILE with a text")
    if not raw.size:
        raise DataError(f"{path} is empty", "data.path=FILE with a text")
    pieces = (raw[i : i + PIECE] for i in range(0, len(raw), PIECE))
    seen = np.flatnonzero(sum(np.bincount(piece, minlength=256) for piece in pieces))
    if seen[-1] < 128:
        return raw, seen.tolist()
    try:
        codes = np.frombuffer(raw.tobytes().decode().encode("utf-32-le"), np.uint32)
    except UnicodeDecodeError as error:
        problem = f"{path} is not UTF-8: byte {error.start} of {len(raw)} is {raw[error.start]:#04x}, {error.reason}"
        raise DataError(problem, "convert it: iconv -f latin1 -t utf-8, for example") from error
    return codes, np.unique(codes).tolist()


def _numbers(path: Path, vocabulary: str, found: list[int]) -> np.ndarray:
    """(largest code + 1,) int64: the number of each character of the vocabulary."""
    if len(set(vocabulary)) != len(vocabulary):
        problem = f"data.vocabulary names {len(vocabulary) - len(set(vocabulary))} characters twice"
        raise UsageError(problem, "name each once, or leave it out")
    if unknown := set(map(chr, found)) - set(vocabulary):
        which = "".join(sorted(unknown))[:20]
        raise DataError(
            f"{path}: {len(unknown)} of its {len(found)} characters are not in data.vocabulary: {which!r}",
            "add them to data.vocabulary, or remove them from the file",
        )
    numbers = np.zeros(max(map(ord, vocabulary)) + 1, np.int64)
    numbers[[ord(character) for character in vocabulary]] = np.arange(len(vocabulary))
    return numbers
