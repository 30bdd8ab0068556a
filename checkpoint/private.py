"""A run folder that the ranks do not share: found out by looking, and then rank 0 writes for all.

Nobody is asked whether a folder is shared, for who is wrong about it finds out when a machine is lost. Rank 0 makes a
file under a name that nobody has ever looked for (an NFS client remembers for a while that a name was not there), and
every rank looks whether it sees it.

If one does not, each rank's part travels to rank 0 in pieces, and rank 0 writes every piece as it comes into the very
file that the rank would have written, so both ways make the same bytes and are read by the same code. Rank 0 needs
memory for one piece, not for the state: what it cannot hold is the reason why some models are spread over ranks. So a
save in the background is this much in the foreground; only rank 0's own part is copied and left to its thread.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..core.errors import CheckpointError
from ..core.shape import prod
from ..mpi.collectives import USER_TAGS
from ..mpi.communicator import Communicator
from . import commit, history
from .agreement import on_rank_0, together
from .manifest import File
from .slices import Slice, pieces

TAG = USER_TAGS - 2
Numbers = Iterator[np.ndarray]  # of some slices, in the pieces and in the order of slices.pieces
Write = Callable[[int, Sequence[Slice], Numbers], File]  # the rank whose file it is, what is in it, its numbers


def blind(communicator: Communicator, folder: Path) -> list[int]:
    """The ranks that do not see what rank 0 writes in `folder`. Collective."""

    def make() -> str:
        name = history.PROBE + secrets.token_hex(8)
        with commit.writing(folder):
            (folder / name).touch(exist_ok=False)
        return name

    if communicator.size == 1:
        return []
    name = on_rank_0(communicator, "folder probe", make)
    seen = together(communicator, "folder look", lambda: os.access(folder / name, os.F_OK))
    if communicator.rank == 0:
        with suppress(OSError):
            (folder / name).unlink()
    return [rank for rank, sees in enumerate(seen) if not sees]


def gather(communicator: Communicator, parts: Sequence[Sequence[Slice]], numbers: Numbers, write: Write) -> list[File]:
    """Collective: rank 0 writes the files of the others as they come; what it wrote, [] on the others.

    parts: what each rank has to write.   numbers: of this rank's part.   CheckpointError, on rank 0, if one cannot be written.
    """
    if communicator.rank:
        for piece in numbers:
            communicator.send(piece, 0, TAG, "checkpoint piece")
        return []
    files: list[File] = []
    failure: CheckpointError | None = None
    for rank, part in enumerate(parts):
        if rank == 0 or not part:
            continue
        arriving = _receive(communicator, rank, part)
        try:
            if failure is None:
                files.append(write(rank, part, arriving))
        except CheckpointError as error:
            failure = error
        for _ in arriving:
            pass  # its rank sends them all, and would wait for ever
    if failure:
        raise failure
    return files


def _receive(communicator: Communicator, source: int, part: Sequence[Slice]) -> Numbers:
    """The pieces that `source` sends, each in the memory of the one before."""
    shapes = [(tuple(s.stop - s.start for s in box), np.dtype(one.dtype)) for one in part for box in pieces(one)]
    room = np.empty(max((prod(shape) * dtype.itemsize for shape, dtype in shapes), default=0), np.uint8)
    for shape, dtype in shapes:
        piece = room[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        communicator.recv(piece, source, TAG, "checkpoint piece")
        yield piece
