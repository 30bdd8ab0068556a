"""Random bits as a function of their address: Philox4x32-10 in 64-bit integers, and what is drawn with it.

A slice of a tensor draws what the whole would in the plainest way there is: the whole's bits are made, then sliced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.random import Key
from ...core.shape import Shape, prod

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio, sqrt(3) - 1


def philox4x32(counter: tuple[Any, Any, Any, Any], key: Key) -> np.ndarray:
    """The four words of each counter, (..., 4) uint32; counter: four integers or arrays of them, each < 2^32.

    After Salmon, Moraes, Dror, Shaw 2011 (10.1145/2063384.2063405).
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in counter))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2  # 32 x 32 -> 64 bits
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def random_bits(samples: np.ndarray, key: Key, step: int, elements: int) -> np.ndarray:
    blocks = np.arange(-(-elements // 4))
    words = philox4x32((blocks[None, :], samples[:, None], step % 2**32, step // 2**32), key)
    return words.reshape(len(samples), 4 * len(blocks))[:, :elements]


def of_slice(values: np.ndarray, shape: Shape, origin: Shape, whole: Shape) -> np.ndarray:
    """What a slice `shape` at `origin` of `whole` holds, for every sample.   values: (N, prod(whole)) -> (N, *shape)"""
    if not whole:
        return values.reshape(len(values), *shape)
    return values.reshape(len(values), *whole)[:, *(slice(o, o + n) for o, n in zip(origin, shape, strict=True))]


def fill_uniform(
    x: np.ndarray, *, key: Key, low: float, high: float, origin: Shape = (), whole: Shape = ()
) -> np.ndarray:
    bits = random_bits(np.zeros(1, np.int64), key, 0, prod(whole or x.shape))
    values = low + (high - low) * (bits + 0.5) / 2**32
    return of_slice(values, x.shape, origin, whole)[0].astype(x.dtype)


def fill_normal(x: np.ndarray, *, key: Key, deviation: float, origin: Shape = (), whole: Shape = ()) -> np.ndarray:
    size = prod(whole or x.shape)
    bits = random_bits(np.zeros(1, np.int64), key, 0, size + size % 2)
    u, v = ((bits + 0.5) / 2**32).reshape(-1, 2).T
    radius = deviation * np.sqrt(-2 * np.log(u))
    values = np.stack((radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)), axis=-1)
    return of_slice(values.reshape(1, -1)[:, :size], x.shape, origin, whole)[0].astype(x.dtype)
