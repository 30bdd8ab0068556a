"""A rank's memory pool: buffers come back by themselves when nobody holds them.

A training step asks for the same sizes again and again, and with several micro-batches or weight versions alive nobody
can say in advance when a buffer is free; the arrays' own reference counts can. Every array from the pool is a view of a
Lease; when the last view dies, the Lease puts the buffer back. After the first step nothing is allocated (`pool.misses`
tells).

    pool.empty(shape) -> ndarray -> base: Lease -> base: buffer       del ndarray  =>  buffer back on the free list
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.shape import Shape, prod

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register
BYTE = np.dtype(np.uint8)


class Lease(np.ndarray):
    """Holds one buffer for as long as some array needs it; `home` is the free list it goes back to.

    The buffer is a ctypes array, not a NumPy one: a view of a view skips the arrays in between, and must not skip this.
    """

    __slots__ = ("home",)
    home: list[Any]

    def __del__(self) -> None:
        self.home.append(self.base)


class Pool:
    """Aligned buffers, reused by size class; one thread's. misses and bytes count what was newly allocated."""

    def __init__(self) -> None:
        self.free: dict[int, list[Any]] = defaultdict(list)
        self.misses = 0
        self.bytes = 0

    def empty(self, shape: Shape | int, dtype: Any = np.float32) -> np.ndarray:
        """An uninitialised C-contiguous array, aligned to 64 bytes."""
        shape, dtype, wanted = sized(shape, dtype)
        home = self.free[wanted]
        lease = Lease(wanted, BYTE, home.pop() if home else self._buffer(wanted))
        lease.home = home
        return np.ndarray(shape, dtype, lease)

    def _buffer(self, nbytes: int) -> Any:
        self.misses += 1
        self.bytes += nbytes
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
        return (ctypes.c_char * nbytes).from_buffer(raw.data, -raw.ctypes.data % ALIGNMENT)

    def zeros(self, shape: Shape | int, dtype: Any = np.float32) -> np.ndarray:
        a = self.empty(shape, dtype)
        a.fill(0)
        return a


@lru_cache(maxsize=4096)
def sized(shape: Shape | int, dtype: Any) -> tuple[Shape, np.dtype, int]:
    """The shape as a tuple, the dtype as an object, and the size class of such an array: known from the second time on."""
    shape, dtype = (shape,) if isinstance(shape, int) else shape, np.dtype(dtype)
    return shape, dtype, size_class(prod(shape) * dtype.itemsize)


def size_class(nbytes: int) -> int:
    """Rounds up to an eighth of a power of two, so that ragged batches share buffers and at most 1/8 is wasted."""
    step = max(ALIGNMENT, 1 << max(0, nbytes.bit_length() - 4))
    return max(ALIGNMENT, -(-nbytes // step) * step)
