"""Keys of the counter-based generator: every random bit has a name.

A stream is named by (seed, purpose, path); its key is 64 bits of BLAKE2b over that name, so that no two purposes share
bits and nothing depends on how many numbers somebody drew before. The bits themselves are an op (`kernels.ops.random_bits`,
Philox4x32-10): counter (element block, sample, step).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeAlias

Key: TypeAlias = tuple[int, int]


def key(seed: int, purpose: str, path: str = "") -> Key:
    """The two 32-bit key words of the stream (seed, purpose, path)."""
    digest = blake2b(f"{int(seed)}\0{purpose}\0{path}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
