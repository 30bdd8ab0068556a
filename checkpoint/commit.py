"""How one file becomes durable: it has its name only once its bytes are on the disk.

    write NAME.tmp -> fsync(NAME.tmp) -> rename to NAME -> fsync(folder)

A reader sees the file before or the file after, never a part, whatever instant the process or the machine dies at.
HDF5 needs this more than others: a killed writer leaves a file that no tool repairs, so HDF5 only ever writes to the
temporary name and has closed it before the fsync. Everything the checkpoint room keeps goes through `publish`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import CheckpointError

TEMPORARY = ".tmp"
KEPT = "free space there or give a folder that can be written; earlier generations are untouched"


def boundary(name: str) -> None:
    """Passed between any two steps of the protocol; does nothing. A test puts a crash in its place."""


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make the file under a temporary name beside `path`, then gives it its name; durable on return.

    OSError leaves no temporary behind, and `path` as it was before or complete.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        write(temporary)
        boundary(f"{path.name} written")
        _sync(temporary)
        boundary(f"{path.name} synced")
        temporary.replace(path)
    except Exception:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    boundary(f"{path.name} renamed")
    sync_folder(path.parent)
    boundary(f"{path.name} durable")


@contextmanager
def writing(path: Path, need: int = 0, cure: str = KEPT) -> Iterator[None]:
    """Turns a failure to write into a CheckpointError with the bytes needed and free.   need: bytes, 0 if only a few.

    Too little space is found out here, not by filling a disk that others use too; quotas show only while writing.
    """
    standing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(standing).free
    try:
        if free < need:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield
    except (OSError, RuntimeError) as error:  # h5py reports a failed flush as RuntimeError
        space = f"; it needs {need:,} bytes, {free:,} were free" if need else ""
        raise CheckpointError(f"{path} cannot be written: {error}{space}", cure) from error


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable; where a file system cannot fsync a folder, its own order has to do."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # as PostgreSQL does
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)  # fsync needs no right to write, and a folder gives none
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
