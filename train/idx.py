"""IDX files, MNIST's format, believed only when every byte is accounted for.

    00 00 08 d | d sizes, 4 bytes each, big-endian | size_1 * ... * size_d unsigned bytes

The header says how long the file must be, so truncation and foreign files are found before an image is looked at,
packed with gzip or not. Source: http://yann.lecun.com/exdb/mnist/ (Y. LeCun, C. Cortes, C. Burges).
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..core.shape import prod

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_folder(folder: Path, cure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train": (images (N, H, W), labels (N,)), "test": ...}, uint8, from MNIST's four file names, packed or not."""
    splits = {}
    for split, (images, labels) in NAMES.items():
        x, y = read_file(_find(folder, images, cure), 3, cure), read_file(_find(folder, labels, cure), 1, cure)
        if len(x) != len(y) or not len(x):
            raise DataError(f"{folder}: {images} holds {len(x)} images, but {labels} holds {len(y)} labels", cure)
        splits[split] = x, y
    sizes = {split: x.shape[1:] for split, (x, _) in splits.items()}
    if sizes["train"] != sizes["test"]:
        raise DataError(f"{folder}: training images are {sizes['train']}, test images {sizes['test']}", cure)
    return splits


def read_file(path: Path, dimensions: int, cure: str) -> np.ndarray:
    """One file's array; DataError naming the file, what was expected and what was found."""
    raw, whole = _bytes(path, cure)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if raw[:4] != magic[: len(raw[:4])]:
        raise DataError(f"{path} begins with bytes {raw[:4].hex(' ')}, not {magic.hex(' ')}: no such IDX file", cure)
    if len(raw) < header:
        raise DataError(f"{path} is truncated: {header} bytes of header expected, {len(raw)} bytes found", cure)
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, offset=4).tolist())
    expected = header + prod(shape)
    if len(raw) != expected:
        what = "is truncated" if len(raw) < expected else "is too long"
        raise DataError(f"{path} {what}: {expected} bytes expected for {shape}, {len(raw)} bytes found", cure)
    if not whole:
        raise DataError(f"{path} is truncated: the checksum at the end of the gzip file is missing", cure)
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str, cure: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder / name} is missing, and so is {name}.gz", cure)


def _bytes(path: Path, cure: str) -> tuple[bytes, bool]:
    """The unpacked content, and whether it is whole; of a truncated gzip file what there is, so sizes can be told."""
    try:
        raw = path.read_bytes()
        if path.suffix != ".gz":
            return raw, True
        unpack = zlib.decompressobj(wbits=31)
        return unpack.decompress(raw), unpack.eof
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", cure) from error
    except zlib.error as error:
        raise DataError(f"{path} ({len(raw)} bytes) is not a sound gzip file: {error}", cure) from error
