"""One HDF5 file of one rank: a dataset per logical tensor, closed before anybody may look.

Plain contiguous datasets, no compression (it costs time and gains nothing on trained weights) and no times, so equal
states make equal bytes. A fixed library version, so older HDF5 tools read it. HDF5's own file locks are off: a file
is private under its temporary name and never written after it has its own, and many NFS and Lustre mounts have no
locks (errno 37).
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CheckpointError
from ..core.spec import Spec
from . import commit
from .manifest import File
from .slices import Slice, overlap

LIBRARY = ("v110", "v110")  # HDF5 1.10 and later read it
OVERHEAD = 64 << 10  # bytes of HDF5 structure and manifest, generously


def write(path: Path, tensors: dict[str, tuple[Spec, Any]], about: dict[str, Any]) -> File:
    """Publishes a new file of these tensors and describes it.   about: attributes of the file, for people.

    CheckpointError with the bytes needed and free if the file cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, (_, array) in tensors.items()}
    slices = tuple(Slice.of(name, spec, arrays[name]) for name, (spec, _) in tensors.items())
    need = sum(array.nbytes for array in arrays.values()) + OVERHEAD
    with commit.writing(path, need):
        commit.publish(path, lambda temporary: _fill(temporary, slices, arrays, about))
        record = File(path.name, path.stat().st_size, sha256(path), slices)
    commit.boundary(f"{path.name} hashed")
    return record


def _fill(path: Path, slices: tuple[Slice, ...], arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    with h5py.File(path, "w", libver=LIBRARY, locking=False) as file:
        file.attrs.update(about)
        for one in slices:
            array = arrays[one.name]
            dataset = file.create_dataset(one.name, data=array, track_times=False)
            dataset.attrs["dtype"] = one.dtype
            dataset.attrs["origin"] = np.array(one.origin, np.int64)
            dataset.attrs["global_shape"] = np.array(one.global_shape, np.int64)
            dataset.attrs["crc32"] = _crc32(array)
        commit.boundary(f"{path.name} filled")
        file.flush()
        commit.boundary(f"{path.name} flushed")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(folder: Path, file: File) -> str:
    """What is wrong with a file of a generation, by its manifest; "" if nothing is."""
    path = folder / file.name
    try:
        if problem := misfit(folder, file):
            return problem
        if sha256(path) != file.sha256:
            return f"{path} is damaged: its bytes do not have the sha256 that was written"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return ""


def misfit(folder: Path, file: File) -> str:
    """What is wrong with a file as far as its size tells; "" if nothing is."""
    path = folder / file.name
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    return f"{path} has {size:,} bytes, {file.bytes:,} were written" if size != file.bytes else ""


def copy(file: h5py.File, stored: Slice, wanted: Spec, into: np.ndarray) -> int:
    """Copies what `stored` has of the slice `wanted` into its place; the number of elements copied."""
    common = overlap(stored, wanted)
    if common is None:
        return 0
    source, place = common
    part = file[stored.name][source]
    if part.shape == stored.shape and _crc32(part) != file[stored.name].attrs["crc32"]:
        raise CheckpointError(f"{stored.name} in {file.filename} does not have the crc32 it was saved with")
    into[place] = part
    return int(np.size(part))


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
