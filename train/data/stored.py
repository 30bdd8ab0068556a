"""A split of stored values: samples stay on disk or in memory as they are and become numbers when they are read.

    x[n] = value[n] * scale + offset          target[n] = label[n], value[n], or x[n] itself

Stored values are anything with a shape, a dtype and rows by number: an array, a memory map, a data set in HDF5, a
folder of pictures, windows over a text. Everything that a read must promise is promised here, once: order, dtype,
contiguity, an honest nothing, labels that exist and values that are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...core.errors import DataError
from ...core.shape import Shape


class Rows(Protocol):
    """Stored values of N samples: `shape` is (N, ...), `rows[indices]` are values in the order asked, repeats allowed."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


class Scale(NamedTuple):
    """x = value * scale + offset, float64 numbers or one for each channel, computed in the larger precision."""

    scale: Any
    offset: Any


@dataclass(frozen=True)
class Stored:
    """x, y: values by row; y None: the target is x.   shape: of one x.   classes: of y's labels, 0: y are real values.

    scaling: None where x are indices, which stay int64.   which: the rows that are this split's, None: all of them.
    """

    name: str
    x: Rows
    y: Rows | None
    shape: Shape
    classes: int
    scaling: Scale | None
    dtype: np.dtype
    which: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.x.shape[0]) if self.which is None else len(self.which)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = indices if self.which is None else self.which[indices]
        x = self._inputs(rows)
        return x, (x if self.y is None else self._targets(self.y, rows))

    def _inputs(self, rows: np.ndarray) -> np.ndarray:
        stored = np.asarray(self.x[rows]).reshape(len(rows), *self.shape)
        if self.scaling is None:
            return np.ascontiguousarray(stored, np.int64)
        finite(self.name, stored, rows)
        precise = np.promote_types(self.dtype, stored.dtype) if stored.dtype.kind == "f" else self.dtype
        x = stored.astype(precise, order="C")
        x *= np.asarray(self.scaling.scale, precise)
        x += np.asarray(self.scaling.offset, precise)
        return x.astype(self.dtype, copy=False)

    def _targets(self, y: Rows, rows: np.ndarray) -> np.ndarray:
        stored = np.asarray(y[rows])
        if not self.classes:
            finite(self.name, stored, rows)
            return stored.astype(self.dtype, order="C").reshape(len(rows), *(y.shape[1:] or (1,)))
        check_labels(self.name, stored, self.classes, rows)
        return np.ascontiguousarray(stored, np.int64).reshape(len(rows), *(y.shape[1:] if y.shape[1:] != (1,) else ()))


def finite(name: str, values: np.ndarray, rows: np.ndarray) -> None:
    """DataError if a value is infinite or not a number."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        wrong = ~np.isfinite(values.reshape(len(rows), -1)).all(axis=1)
        raise DataError(
            f"{name}: {np.count_nonzero(wrong)} of {len(rows)} samples read hold values that are no finite numbers, "
            f"the first is sample {rows[wrong.argmax()]}",
            "remove these samples, or put numbers in their place",
        )


def check_labels(name: str, labels: np.ndarray, classes: int, rows: np.ndarray | None = None) -> None:
    """DataError if a label is none of 0 .. classes - 1."""
    if not labels.size or (labels.min() >= 0 and labels.max() < classes):
        return
    at = int(((labels < 0) | (labels >= classes)).reshape(len(labels), -1).any(axis=1).argmax())
    worst = labels.min() if labels.min() < 0 else labels.max()
    raise DataError(
        f"{name}: a label is {worst}, but there are {classes} classes (0 to {classes - 1}); "
        f"the first such sample is {at if rows is None else rows[at]}",
        f"correct the labels, or say how many classes there are: data.classes={max(int(worst) + 1, classes)}",
    )
