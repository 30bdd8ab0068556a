"""The digest that ranks compare: all bytes of what is small, an honest sample of what is large.

    hash( for each piece: its name and size;   then of all pieces end to end:
          every byte, if they are 256 MiB or less;   else 1,024 blocks of 64 KiB, evenly spread, both ends included )

So other files, other sizes, missing parts and re-made data are found at once whatever the size, and every changed byte
of a data set up to 256 MiB. In a larger one a byte changed between two blocks goes unnoticed: finding it would mean
that every rank reads all of it before the first step. Times of files are no part of it: copies of one file differ in
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...core.errors import DataError

WHOLE, BLOCK, BLOCKS, READ = 256 << 20, 64 << 10, 1024, 8 << 20

Piece: TypeAlias = "tuple[str, np.ndarray | Path]"


def fingerprint(pieces: Sequence[Piece]) -> str:
    """32 hexadecimal digits for named arrays and files; names must not depend on the machine."""
    content = blake2b(digest_size=16)
    sizes = [piece.stat().st_size if isinstance(piece, Path) else piece.nbytes for _, piece in pieces]
    for (name, piece), size in zip(pieces, sizes, strict=True):
        content.update(f"{name}\0{size}\0{getattr(piece, 'shape', '')}\0".encode())
    start, total = 0, sum(sizes)
    for (_, piece), size in zip(pieces, sizes, strict=True):
        for part in _bytes(piece, _within(start, start + size, total)):
            content.update(part)
        start += size
    return content.hexdigest()


def _bytes(piece: np.ndarray | Path, ranges: list[tuple[int, int]]) -> Iterator[Any]:
    """The bytes in these ranges, a few MiB at a time; files by plain reads, which cost a small file less than a map."""
    if isinstance(piece, np.ndarray):
        raw = np.ascontiguousarray(piece).reshape(-1).view(np.uint8)
        yield from (raw[first:last].data for first, last in ranges)
    elif ranges:
        with piece.open("rb", buffering=0) as file:
            for first, last in ranges:
                file.seek(first)
                yield from (file.read(min(READ, last - at)) for at in range(first, last, READ))


def _within(start: int, stop: int, total: int) -> list[tuple[int, int]]:
    """The ranges to hash of a piece that lies at start:stop of the whole, counted from its own start."""
    if total <= WHOLE:
        return [(0, stop - start)]
    step = (total - BLOCK) / (BLOCKS - 1)
    first, last = max(0, int((start - BLOCK) / step)), min(BLOCKS - 1, int(stop / step) + 1)
    blocks = [(max(at, start), min(at + BLOCK, stop)) for at in (round(i * step) for i in range(first, last + 1))]
    return [(a - start, b - start) for a, b in blocks if a < b]


def mapped(path: Path, cure: str) -> np.ndarray:
    """The bytes of a file, (size,) uint8, read when they are looked at; DataError where there is no such file."""
    try:
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", cure) from error
