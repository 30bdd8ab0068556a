"""Named arrays, the common half of NPZ and HDF5: which of a file's arrays are samples and which are targets.

x_train, y_train, x_test, y_test          as Keras writes them
x, y                                      divided by data.test_fraction
data.names = [...]                        two or four other names, in this order

x stored as                   becomes
bytes, other unsigned, real   real values, normalised; bytes (N, H, W) are images of one channel
signed integers               indices (tokens), int64, left alone
y stored as                   becomes
integers (N,), (N, 1)         a class each          (N, T): a class at each position
real (N,), (N, ...)           real values, (N, 1), (N, ...)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.errors import DataError, UsageError
from ..config import Data
from .assembly import Part, assemble
from .dataset import Dataset
from .division import divide
from .stored import Rows

FOUR, TWO = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")


def open_arrays(arrays: Mapping[str, Rows], data: Data, dtype: np.dtype, digest: str) -> Dataset:
    """The data set in a file's arrays; DataError where they are not there or not of a kind described above."""
    if len(data.names) not in (0, 2, 4):
        raise UsageError(f"data.names has {len(data.names)} names {list(data.names)}", "give two (x, y) or four")
    names = data.names or (FOUR if FOUR[0] in arrays else TWO)
    pairs = [_pair(arrays, data, *names[i : i + 2]) for i in range(0, len(names), 2)]
    if len(pairs) == 2:
        if data.test_fraction != Data.test_fraction:
            problem = f"{data.path} has a test part, {names[2]}: data.test_fraction = {data.test_fraction} is idle"
            raise UsageError(problem, f"leave it out, or name two arrays: data.names={names[0]},{names[1]}")
        return assemble(data.path, data, dtype, digest, *(Part(*pair) for pair in pairs))
    parts = (Part(*pairs[0], rows) for rows in divide(data.path, pairs[0][0].shape[0], data.test_fraction))
    return assemble(data.path, data, dtype, digest, *parts)


def _pair(arrays: Mapping[str, Rows], data: Data, x: str, y: str) -> tuple[Rows, Rows | None]:
    return _array(arrays, x, data), (None if data.target == "input" else _array(arrays, y, data))


def _array(arrays: Mapping[str, Rows], name: str, data: Data) -> Rows:
    if name not in arrays:
        problem = f"{data.path} holds no array {name}; it holds {', '.join(arrays) or 'nothing'}"
        raise DataError(problem, "name its arrays: data.names=x,y or four names")
    array = arrays[name]
    if array.dtype.kind not in "biuf" or not array.shape:
        problem = f"{data.path}: {name} is {array.dtype}{tuple(array.shape)}, not an array of numbers"
        raise DataError(problem, "store it as integers or real values, samples along the first axis")
    return array
