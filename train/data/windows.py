"""Windows over a table of steps: sample i begins at step start + i * stride and nothing is copied until it is read.

steps  start + i * stride + shift + (0 .. length - 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import DataError
from ...core.shape import Shape
from .stored import Rows


class Windows:
    """Samples of `length` steps of a table whose first axis is time; length 0: one step each, without a time axis."""

    def __init__(self, table: Rows, start: int, count: int, length: int, stride: int, shift: int = 0):
        self.table, self.first, self.stride = table, start + shift, stride
        self.steps = np.arange(length) if length else np.int64(0)
        self.shape: Shape = (count, *self.steps.shape, *table.shape[1:])
        self.dtype = table.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        at = self.first + np.asarray(indices) * self.stride
        return self.table[at.reshape(-1, *(1,) * self.steps.ndim) + self.steps]


def windows(name: str, steps: int, length: int, stride: int) -> int:
    """How many windows of `length` steps, each with one more step to foretell, fit into so many steps."""
    if steps < length + 1:
        raise DataError(
            f"{name}: a part of {steps} steps holds no window of {length} and the step after it",
            "use a smaller data.length, another data.test_fraction, or more data",
        )
    return (steps - length - 1) // stride + 1
