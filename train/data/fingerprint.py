"""The digest that ranks compare: all bytes of what is small, an honest sample of what is large.

    hash( for each piece: its name and size;   then of all pieces end to end:
          every byte, if they are WHOLE (256 MiB) or less;   else BLOCKS (1,024) blocks of 64 KiB, evenly spread, both ends included )

So other files, other sizes, missing parts and re-made data are found at once whatever the size, and every changed byte of
a data set up to 256 MiB. In a larger one a byte changed between two blocks goes unnoticed: finding it would mean that
every rank reads all of it before the first step. Times of files are no part of it: copies of one file differ in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...core.errors import DataError

WHOLE, BLOCK, BLOCKS = 256 << 20, 64 << 10, 1024

Piece: TypeAlias = "tuple[str, np.ndarray | Path]"


def fingerprint(pieces: Sequence[Piece]) -> str:
    """32 hexadecimal digits for named arrays and files; names must not depend on the machine."""
    content = blake2b(digest_size=16)
    for name, piece in pieces:
        content.update(f"{name}\0{_size(piece)}\0{getattr(piece, 'shape', '')}\0".encode())
    start, total = 0, sum(_size(piece) for _, piece in pieces)
    for _, piece in pieces:
        size = _size(piece)
        wanted = _within(start, start + size, total)
        if size and wanted:
            raw = mapped(piece) if isinstance(piece, Path) else piece.reshape(-1).view(np.uint8)
            for first, last in wanted:
                content.update(raw[first:last].data)
        start += size
    return content.hexdigest()


def _size(piece: np.ndarray | Path) -> int:
    return piece.stat().st_size if isinstance(piece, Path) else piece.nbytes


def _within(start: int, stop: int, total: int) -> list[tuple[int, int]]:
    """The ranges to hash of a piece that lies at start:stop of the whole, counted from its own start."""
    if total <= WHOLE:
        return [(0, stop - start)]
    step = (total - BLOCK) / (BLOCKS - 1)
    first, last = max(0, int((start - BLOCK) / step)), min(BLOCKS - 1, int(stop / step) + 1)
    blocks = [(max(at, start), min(at + BLOCK, stop)) for at in (round(i * step) for i in range(first, last + 1))]
    return [(a - start, b - start) for a, b in blocks if a < b]


def mapped(path: Path, cure: str = "") -> np.ndarray:
    """The bytes of a file, (size,) uint8, read when they are looked at; DataError where there is no such file."""
    try:
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", cure or "give data.path a file you may read") from error
