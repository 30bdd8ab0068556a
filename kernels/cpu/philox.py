"""Random bits, drawn where they are used: the generator is a function of an address and is compiled into its users.

All words live in 64-bit lanes, because a round is two 32 x 32 -> 64 products and that is how vector units multiply. A user
walks a run of consecutive elements (a slice of a tensor is a list of runs) and asks for the block of four words that an
element belongs to; which thread walks which run cannot be seen in the bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange

from ...core.random import Key
from ...core.shape import Shape, prod
from .compile import kernel

PIECE = 1 << 12  # elements of a run that one job takes

LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit
def _round(c0, c1, c2, c3, k0, k1):
    p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
    return (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW, (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW


@njit
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Four words of Philox4x32-10, each below 2^32 in a uint64; written out, for a loop inside would not become vectors."""
    state = _round(c0, c1, c2, c3, k0, k1)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    return state[:4]


def stream(key: Key, step: int) -> tuple[np.uint64, ...]:
    """What a kernel needs besides block and sample: (step mod 2^32, step // 2^32, key words)."""
    return np.uint64(step % 2**32), np.uint64(step // 2**32), np.uint64(key[0]), np.uint64(key[1])


@lru_cache(maxsize=256)
def runs(shape: Shape, origin: Shape, whole: Shape) -> tuple[np.ndarray, int]:
    """A slice of a tensor as runs of consecutive elements: (row-major indices of their starts in the whole, their length)."""
    axes = len(shape)
    while axes and (not whole or shape[axes - 1] == whole[axes - 1]):
        axes -= 1  # whole axes, from the last one, belong to one run
    axes = max(axes - 1, 0)
    length = prod(shape[axes:])
    starts = np.full(1, sum(o * prod(whole[i + 1 :]) for i, o in enumerate(origin)), np.int64)
    for i in range(axes):
        starts = (starts[:, None] + np.arange(shape[i]) * prod(whole[i + 1 :])).reshape(-1)
    return starts, length


def random_bits(samples: np.ndarray, key: Key, step: int, elements: int, *, out: np.ndarray, pool: Any) -> None:
    _random_bits(samples, stream(key, step), out, work=16 * out.size)


@kernel
def _random_bits(samples, stream, bits):
    pieces = -(-bits.shape[1] // PIECE)
    for job in prange(samples.size * pieces):
        i, at = np.int64(job) // pieces, np.int64(job) % pieces * PIECE
        _draw(bits[i, at : at + PIECE], np.uint64(at >> 2), np.uint64(samples[i]), stream)


@njit
def _draw(bits, block, sample, stream):
    """The words of consecutive blocks; bits begins at a block."""
    s0, s1, k0, k1 = stream
    quads = bits.size >> 2
    for j in range(quads):
        w0, w1, w2, w3 = philox4x32(block + np.uint64(j), sample, s0, s1, k0, k1)
        bits[4 * j] = w0
        bits[4 * j + 1] = w1
        bits[4 * j + 2] = w2
        bits[4 * j + 3] = w3
    words = philox4x32(block + np.uint64(quads), sample, s0, s1, k0, k1)
    for i in range(bits.size & 3):
        bits[(bits.size & -4) + i] = words[i]
