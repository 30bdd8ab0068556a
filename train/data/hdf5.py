"""HDF5: rows are read by ranges, in the file's order, and put into the order that was asked for.

HDF5 takes a list of rows only sorted and free of repeats, and is slow with one where data lie in chunks. So rows are
sorted, neighbours and the rows of one chunk are read as one range (a chunk is unpacked as a whole anyway), and
everything is put back in its place. The file is read only and not locked: every rank reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError
from ..config import Data
from .arrays import open_arrays
from .dataset import Dataset
from .fingerprint import fingerprint


def open_hdf5(data: Data, dtype: np.dtype) -> Dataset:
    path = Path(data.path)
    return open_arrays(File(path), data, dtype, fingerprint([("hdf5", path)]))


class File(Mapping[str, "Rows"]):
    """The data sets of an HDF5 file by name; a name may lead through groups, "images/train"."""

    def __init__(self, path: Path):
        import h5py

        self.path, self.is_array = path, lambda found: isinstance(found, h5py.Dataset)
        if not path.is_file():
            raise DataError(f"{path} cannot be read: there is no such file", "give data.path, or infer, an HDF5 file")
        try:
            self.file = h5py.File(path, "r", locking=False)
        except OSError as error:
            problem = f"{path} ({path.stat().st_size} bytes) is not a sound HDF5 file: {error}"
            raise DataError(problem, "copy or make it again") from error

    def __getitem__(self, name: str) -> Rows:
        if not self.is_array(found := self.file[name]):
            raise KeyError(name)
        return Rows(self.path, found)

    def __iter__(self) -> Iterator[str]:
        names: list[str] = []
        self.file.visititems(lambda name, found: names.append(name) if self.is_array(found) else None)
        return iter(names)

    def __len__(self) -> int:
        return len(list(iter(self)))


class Rows:
    """A data set in a file, by row."""

    def __init__(self, path: Path, data: Any):
        self.path, self.data = path, data
        self.shape, self.dtype = data.shape, data.dtype
        self.chunk = data.chunks[0] if data.chunks else 1

    def __getitem__(self, indices: Any) -> np.ndarray:
        try:
            if indices is Ellipsis:
                return self.data[...]
            rows, places = np.unique(indices, return_inverse=True)
            found = np.empty((len(rows), *self.shape[1:]), self.dtype)
            for first, last in self._ranges(rows):
                start = rows[first]
                found[first:last] = self.data[start : rows[last - 1] + 1][rows[first:last] - start]
            return found[places]
        except OSError as error:
            problem = f"{self.path}: {self.data.name} cannot be read: {error}"
            raise DataError(problem, "copy or make it again") from error

    def _ranges(self, rows: np.ndarray) -> list[tuple[int, int]]:
        """Where the sorted rows fall into runs of neighbours, or of rows in one chunk."""
        cuts = np.flatnonzero((np.diff(rows) > 1) & (np.diff(rows // self.chunk) > 0)) + 1
        edges = [0, *cuts.tolist(), len(rows)]
        return [(a, b) for a, b in pairwise(edges) if a < b]
