"""A rank's memory pool: buffers come back by themselves when nobody holds them.

A training step asks for the same sizes again and again, and with several micro-batches or weight versions alive nobody
can say in advance when a buffer is free; the arrays' own reference counts can. An array from the pool owns a Lease; when
the last view of it dies, the Lease puts the buffer back. After the first step nothing is allocated (`pool.misses` tells).

    pool.empty(shape) -> ndarray -> base: Lease -> buffer          del ndarray  =>  buffer back on the free list
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from ..core.shape import Shape, prod

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


class Lease:
    """Holds one buffer for as long as some array needs it."""

    def __init__(self, pool: Pool, buffer: np.ndarray, address: int, shape: Shape, dtype: np.dtype):
        self.pool, self.buffer = pool, buffer
        self.__array_interface__ = {"data": (address, False), "shape": shape, "typestr": dtype.str, "version": 3}

    def __del__(self) -> None:
        self.pool.free[self.buffer.nbytes].append(self.buffer)


class Pool:
    """Aligned buffers, reused by size class; not shared between threads. misses and bytes count what was newly allocated."""

    def __init__(self) -> None:
        self.free: dict[int, list[np.ndarray]] = defaultdict(list)
        self.misses = 0
        self.bytes = 0

    def empty(self, shape: Shape | int, dtype: Any = np.float32) -> np.ndarray:
        """An uninitialised C-contiguous array, aligned to 64 bytes."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        wanted = size_class(prod(shape) * dtype.itemsize) + ALIGNMENT
        free = self.free[wanted]
        if free:
            buffer = free.pop()
        else:
            self.misses += 1
            self.bytes += wanted
            buffer = np.empty(wanted, np.uint8)
        address = -(-buffer.ctypes.data // ALIGNMENT) * ALIGNMENT
        return np.asarray(Lease(self, buffer, address, shape, dtype))

    def zeros(self, shape: Shape | int, dtype: Any = np.float32) -> np.ndarray:
        a = self.empty(shape, dtype)
        a.fill(0)
        return a


def size_class(nbytes: int) -> int:
    """Rounds up to an eighth of a power of two, so that ragged batches share buffers and at most 1/8 is wasted."""
    step = max(ALIGNMENT, 1 << max(0, nbytes.bit_length() - 4))
    return max(ALIGNMENT, -(-nbytes // step) * step)
