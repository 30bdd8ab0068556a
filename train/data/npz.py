"""NPZ: a zip archive of NumPy arrays; a member that is not compressed is read by memory map where it lies.

np.savez stores members as they are, np.savez_compressed does not; a compressed member has no rows that could be read
alone, so it is unpacked into memory, whole, at the start. Source: numpy.lib.format, and APPNOTE.TXT of PKWARE for the
30 bytes of a local header: its last two numbers are the lengths of the name and of the extra field that follow it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from ...core.errors import DataError
from ..config import Data
from .arrays import open_arrays
from .dataset import Dataset
from .fingerprint import fingerprint

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npz(data: Data, dtype: np.dtype) -> Dataset:
    path = Path(data.path)
    return open_arrays(Archive(path), data, dtype, fingerprint([("npz", path)]))


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an NPZ file by name."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with ZipFile(path) as archive:
                self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}", "give data.path, or infer, an NPZ file"
            ) from error
        except BadZipFile as error:
            raise self._unsound(error) from error

    def __getitem__(self, name: str) -> np.ndarray:
        info = self.members[name]
        try:
            if info.compress_type == ZIP_STORED and (array := self._mapped(info.header_offset)) is not None:
                return array
            with np.load(self.path) as arrays:
                return arrays[name]
        except (ValueError, OSError, EOFError, BadZipFile, zlib.error) as error:
            raise self._unsound(error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def _mapped(self, at: int) -> np.ndarray | None:
        """The array whose local header begins there; None where it cannot be mapped: no rows, or a newer version."""
        with self.path.open("rb") as file:
            file.seek(at + 26)
            file.seek(at + 30 + sum(np.frombuffer(file.read(4), "<u2").tolist()))
            version = np.lib.format.read_magic(file)
            if version not in HEADERS:
                return None
            shape, by_column, dtype = HEADERS[version](file)
            if dtype.hasobject or 0 in shape or not shape:
                return None
            return np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_column else "C")

    def _unsound(self, error: Exception) -> DataError:
        size = self.path.stat().st_size
        return DataError(f"{self.path} ({size} bytes) is not a sound NPZ file: {error}", "copy or make it again")
