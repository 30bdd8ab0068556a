"""IDX files, MNIST's format, believed only when every byte is accounted for.

    00 00 08 d | d sizes, 4 bytes each, big-endian | size_1 * ... * size_d unsigned bytes

The header says how long the file must be, so truncation and foreign files are found before an image is looked at,
packed with gzip or not; a file that is not packed is read by memory map.
Source: http://yann.lecun.com/exdb/mnist/ (Y. LeCun, C. Cortes, C. Burges).

    source    mean     deviation
    fashion   0.2860   0.3530      Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)
    idx       0.1307   0.3081      MNIST's, for any folder with its file names
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ...core.errors import DataError
from ...core.shape import prod
from ..config import Data
from .assembly import Part, assemble
from .dataset import Dataset
from .fingerprint import fingerprint, mapped
from .scaling import filled

FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it
NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def open_fashion(data: Data, dtype: np.dtype) -> Dataset:
    cure = "apt install dataset-fashion-mnist, or data.path=FOLDER with its four files"
    data = filled(data, mean=(0.2860,), deviation=(0.3530,), classes=10)
    return _dataset("fashion", Path(data.path) if data.path else FASHION, cure, data, dtype)


def open_idx(data: Data, dtype: np.dtype) -> Dataset:
    cure = "data.path=FOLDER with MNIST's four files, complete"
    return _dataset(data.path, Path(data.path), cure, filled(data, mean=(0.1307,), deviation=(0.3081,)), dtype)


def _dataset(name: str, folder: Path, cure: str, data: Data, dtype: np.dtype) -> Dataset:
    splits = read_folder(folder, cure)
    digest = fingerprint([(f"{split} {i}", part[i]) for split, part in splits.items() for i in (0, 1)])
    train, test = (Part(images, np.array(labels)) for images, labels in splits.values())
    return assemble(name, data, dtype, digest, train, test)


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
    magic, found = bytes([0, 0, 8, dimensions]), bytes(raw[:4])
    if found != magic[: len(found)]:
        raise DataError(f"{path} begins with bytes {found.hex(' ')}, not {magic.hex(' ')}: no such IDX file", cure)
    if len(raw) < header:
        raise DataError(f"{path} is truncated: {header} bytes of header expected, {len(raw)} bytes found", cure)
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, offset=4).tolist())
    expected = header + prod(shape)
    if len(raw) != expected:
        what = "is truncated" if len(raw) < expected else "is too long"
        raise DataError(f"{path} {what}: {expected} bytes expected for {shape}, {len(raw)} bytes found", cure)
    if not whole:
        raise DataError(f"{path} is truncated: the checksum at the end of the gzip file is missing", cure)
    return raw[header:].reshape(shape)


def _find(folder: Path, name: str, cure: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder / name} is missing, and so is {name}.gz", cure)


def _bytes(path: Path, cure: str) -> tuple[np.ndarray, bool]:
    """The unpacked content, and whether it is whole; of a truncated gzip file what there is, so sizes can be told."""
    raw = mapped(path, cure)
    if path.suffix != ".gz":
        return raw, True
    try:
        unpack = zlib.decompressobj(wbits=31)
        return np.frombuffer(unpack.decompress(raw.data), np.uint8), unpack.eof
    except zlib.error as error:
        raise DataError(f"{path} ({len(raw)} bytes) is not a sound gzip file: {error}", cure) from error
