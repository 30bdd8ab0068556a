"""What `shoal infer` reads: the same samples as training, from files that know nothing of it.

    a picture, or a folder of them (searched deep, in the order of their paths)      through Pillow
    FILE.npz, FILE.h5 or FILE.hdf5                                                   its array x, (N, ...)

A network must see a sample as it saw it in training, so what the numbers mean is decided by their dtype, and never guessed
from their values:

    unsigned integers   as stored in the training set, 0 to data.white (16 for digits, 255 for most)
    pictures            0 to 255, whatever the training set has for white
    real values         of a training set of pixels: fractions of white, 0 to 1; of one of real values: as stored there
    any integers        for a network of indices (tokens)

and the normalisation of training follows. Values outside of these ranges are an error: they are most often samples that
were normalised already, or by 255 where white is 16. Pictures of another size or another number of channels are one too,
unless they shall be resized.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, UsageError
from ..core.shape import Shape
from .config import Data
from .data.hdf5 import File
from .data.images import ENDINGS, decode
from .data.npz import Archive
from .data.scaling import scale_of
from .data.stored import Rows, Stored

ARRAY = "x"
COLOURS = {1: "grey", 3: "RGB"}


@dataclass(frozen=True)
class Inputs:
    """Samples without targets.   names: (N,) of the files, or the numbers of the rows."""

    names: list[str] | range
    samples: Stored

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """A hash of the names, for the check that all ranks see the same files."""
        return blake2b("\n".join(map(str, self.names)).encode(), digest_size=8).hexdigest()

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, None]:
        """(x (n, ...) as the network takes them, no target) of these samples."""
        return self.samples.read(indices)[0], None


def open_inputs(path: Path, data: Data, shape: Shape, dtype: np.dtype, resize: bool = False) -> Inputs:
    """The samples in a file or folder, for a network that was trained on `data` with samples of `shape`.

    UsageError for a kind of file that is not known, DataError with the numbers and the cure where the samples do not fit.
    """
    pictures = path.is_dir() or path.suffix.lower() in ENDINGS
    if not pictures and path.suffix.lower() not in (".npz", ".h5", ".hdf5"):
        known = f"a folder, a picture ({', '.join(sorted(ENDINGS))}), .npz, .h5 or .hdf5"
        problem = f"{path} is none of the files that samples are read from" if path.exists() else f"there is no {path}"
        raise UsageError(problem, f"give {known}")
    if resize and not pictures:
        raise UsageError(f"{path} holds an array, and only pictures are resized", "leave out --resize")
    if pictures:
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path} holds no picture", f"put {', '.join(sorted(ENDINGS))} files there")
        if len(shape) != 3 or shape[2] not in COLOURS or not data.mean:
            raise DataError(f"{path} holds pictures, the network takes samples {shape}", "give an NPZ or HDF5 file")
        names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
        return Inputs(names, _stored(path, Pictures(files, shape, resize), replace(data, white=255.0), shape, dtype))
    arrays: Any = Archive(path) if path.suffix.lower() == ".npz" else File(path)
    if ARRAY not in arrays:
        raise DataError(
            f"{path} holds no array {ARRAY}; it holds {', '.join(arrays) or 'nothing'}", "name the samples x"
        )
    rows = arrays[ARRAY]
    _check_shape(path, tuple(rows.shape), shape)
    return Inputs(range(rows.shape[0]), _stored(path, rows, data, shape, dtype))


def _stored(path: Path, rows: Rows, data: Data, shape: Shape, dtype: np.dtype) -> Stored:
    """The rows, checked when they are read, and normalised as in training."""
    kind = rows.dtype.kind
    if not data.mean:
        if kind not in "iu":
            raise DataError(f"{path}: x is {rows.dtype}, the network takes indices", "store x as integers")
        return Stored(str(path), rows, None, shape, 0, None, dtype)
    if kind not in "uf":
        cure = "store x as unsigned integers, as in the training set, or as real values"
        raise DataError(f"{path}: x is {rows.dtype}, the network takes pixels or real values", cure)
    scale = scale_of(replace(data, white=1.0) if kind == "f" else data, shape[-1])
    if data.white != 1:
        rows = Bounded(str(path), rows, 1.0 if kind == "f" else data.white, data.white)
    return Stored(str(path), rows, None, shape, 0, scale, dtype)


def _check_shape(path: Path, found: Shape, shape: Shape) -> None:
    """(N, *shape), and (N, H, W) for a network of one channel."""
    if found[1:] == shape or (shape[-1:] == (1,) and found[1:] == shape[:-1] != ()):
        return
    cure = f"store x as (N, {', '.join(map(str, shape))}), one sample too"
    if len(shape) == 3 and found[1:3] == shape[:2]:
        cure = f"it is {_colours(found[3:])}, the network takes {_colours(shape[2:])}: convert x"
    raise DataError(f"{path}: x is {found}, the network takes samples {shape}", cure)


def _colours(channels: Shape) -> str:
    count = channels[0] if channels else 1
    return COLOURS.get(count, f"of {count} channels")


class Bounded:
    """Rows whose values lie in 0 .. most; an error of their range is found when they are read, on the rank that reads."""

    def __init__(self, name: str, rows: Rows, most: float, white: float):
        self.name, self.rows, self.most, self.white = name, rows, most, white
        self.shape, self.dtype = rows.shape, rows.dtype

    def __getitem__(self, indices: Any) -> np.ndarray:
        values = np.asarray(self.rows[indices])
        if values.size and ((values < 0) | (values > self.most)).any():
            raise DataError(
                f"{self.name}: values of {self.dtype} from {values.min():g} to {values.max():g}, not 0 to {self.most:g}",
                f"give pixels as unsigned integers, 0 to {self.white:g} as in training, or as real values, 0 to 1; not "
                "normalised",
            )
        return values


class Pictures:
    """(N, H, W, C) uint8 of these files, resized and converted only if that was asked for."""

    dtype = np.dtype(np.uint8)

    def __init__(self, files: list[Path], shape: Shape, resize: bool):
        self.files, self.resize, self.shape = files, resize, (len(files), *shape)

    def __getitem__(self, indices: Any) -> np.ndarray:
        wanted = self.shape[1:]
        found = [decode(self.files[index], *((wanted[2], wanted[:2]) if self.resize else ())) for index in indices]
        for index, picture in zip(indices, found, strict=True):
            if picture.shape != wanted:
                raise DataError(
                    f"{self.files[index]} is {_size(picture.shape)}, the network takes {_size(wanted)}",
                    "convert it, or pass --resize, which does both for all pictures",
                )
        return np.stack(found) if found else np.empty((0, *wanted), np.uint8)


def _size(shape: Shape) -> str:
    return f"{shape[0]} x {shape[1]} {_colours(shape[2:])}"
