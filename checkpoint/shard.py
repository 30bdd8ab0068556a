"""One HDF5 file of one rank: a dataset per logical tensor, closed before anybody may look.

Plain contiguous datasets, no compression (it costs time and gains nothing on trained weights) and no times, so equal
states make equal bytes. A fixed library version, so older HDF5 tools read it. HDF5's own file locks are off: a file
is private under its temporary name and never written after it has its own, and many NFS and Lustre mounts have no
locks (errno 37).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.errors import CheckpointError
from ..core.shape import prod
from ..core.spec import Spec
from . import commit, manifest, slices
from .manifest import File
from .slices import Slice, overlap

LIBRARY = ("v110", "v110")  # HDF5 1.10 and later read it
OVERHEAD = 64 << 10  # bytes of HDF5 structure and manifest, generously
ABOUT = "one rank's part of a checkpoint; manifest.json beside it vouches for every byte; docs/checkpoints.md of shoal says how to read it"


def hdf5() -> str:
    """Name and version of the library, and of its package."""
    return f"HDF5 {h5py.version.hdf5_version} (h5py {h5py.__version__})"


def name(rank: int, edition: int) -> str:
    """Of a rank's file.   edition: 1, or more where the step was saved before."""
    return f"rank-{rank:04d}.h5" if edition == 1 else f"rank-{rank:04d}-{edition}.h5"


def write(folder: Path, edition: int, rank: int, part: Sequence[Slice], numbers: Iterator[np.ndarray]) -> File:
    """Publishes a rank's file in the folder of a generation, and describes it.   part: what the file shall hold.

    numbers: of the part, in the pieces of slices.pieces: so nobody needs the whole in memory, and a thread that wants
    something of h5py, which does one thing at a time, waits for a piece at most.

    CheckpointError with the bytes needed and free if the file cannot be written.
    """
    path = folder / name(rank, edition)
    about = {"about": ABOUT, "format": manifest.FORMAT, "version": manifest.VERSION, "generation": folder.name}
    about |= {"step": int(folder.name.rpartition("-")[2]), "rank": rank}
    need = sum(prod(one.shape) * np.dtype(one.dtype).itemsize for one in part) + OVERHEAD
    with commit.writing(path, need):
        commit.publish(path, lambda temporary: _fill(temporary, part, numbers, about))
        record = File(path.name, path.stat().st_size, sha256(path), tuple(part))
    commit.boundary(f"{path.name} hashed")
    return record


def numbers(part: Sequence[Slice], arrays: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """The numbers of a part, in pieces, from arrays that are here."""
    return (np.asarray(arrays[one.name][box], order="C") for one in part for box in slices.pieces(one))


def _fill(path: Path, part: Sequence[Slice], numbers: Iterator[np.ndarray], about: dict[str, Any]) -> None:
    with path.open("w+b") as raw, h5py.File(raw, "w", libver=LIBRARY) as file:
        file.attrs.update(about)
        for one in part:
            dataset, crc = file.create_dataset(one.name, one.shape, one.dtype, track_times=False), 0
            for box in slices.pieces(one):
                piece = next(numbers)
                dataset[box] = piece
                crc = _crc32(piece, crc)
            dataset.attrs["name"] = one.name
            dataset.attrs["dtype"] = one.dtype
            dataset.attrs["origin"] = np.array(one.origin, np.int64)
            dataset.attrs["global_shape"] = np.array(one.global_shape, np.int64)
            dataset.attrs["crc32"] = crc
        commit.boundary(f"{path.name} filled")
        file.flush()
        commit.boundary(f"{path.name} flushed")


def sha256(path: Path) -> str:
    """Of a file, in blocks so large that the thread seldom asks for Python's lock."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        block = np.empty(min(slices.PIECE, path.stat().st_size) or 1, np.uint8).data
        while size := file.readinto(block):
            digest.update(block[:size])
    return digest.hexdigest()


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


def copy(path: Path, file: h5py.File, stored: Slice, wanted: Spec, into: np.ndarray) -> int:
    """Copies what `stored` has of the slice `wanted` into its place; the number of elements copied."""
    common = overlap(stored, wanted)
    if common is None:
        return 0
    source, place = common
    part = file[stored.name][source]
    if part.shape == stored.shape and _crc32(part) != file[stored.name].attrs["crc32"]:
        raise CheckpointError(f"{stored.name} in {path} does not have the crc32 it was saved with")
    into[place] = part
    return int(np.size(part))


def _crc32(array: np.ndarray, before: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, before)
