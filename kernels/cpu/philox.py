"""Random bits, drawn where they are used: the generator is a function of an address and is compiled into its users.

All words live in 64-bit lanes, because a round is two 32 x 32 -> 64 products and that is how vector units multiply. A
user says what one element does with its words; it is then walked over runs of consecutive elements (a slice of a tensor
is a list of runs), four elements a block. Which thread walks which run cannot be seen in the bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange

from ...core.random import Key
from ...core.shape import Shape, prod
from .compile import kernel
from .elementary import cos_sin_of_turns, log

PIECE = 1 << 12  # elements of a run that one job takes

LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit(forceinline=True)
def _round(c0, c1, c2, c3, k0, k1):
    """One round; only the low halves of the words count, so nothing is masked before it is multiplied."""
    p0, p1 = MULTIPLIER_0 * (c0 & LOW), MULTIPLIER_1 * (c2 & LOW)
    return (p1 >> HALF) ^ c1 ^ k0, p1, (p0 >> HALF) ^ c3 ^ k1, p0, (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW


@njit(forceinline=True)
def block_of(block, sample, stream):
    """The four words of a block, each < 2^32 in a uint64. Written out, because a loop would not become vectors."""
    state = _round(np.uint64(block), sample, *stream)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    state = _round(*state)
    c0, c1, c2, c3, _, _ = _round(*state)
    return c0 & LOW, c1 & LOW, c2 & LOW, c3 & LOW


def stream(key: Key, step: int) -> tuple[np.uint64, ...]:
    """What a kernel needs besides block and sample: (step mod 2^32, step // 2^32, key words)."""
    return np.uint64(step % 2**32), np.uint64(step // 2**32), np.uint64(key[0]), np.uint64(key[1])


@lru_cache(maxsize=256)
def runs(shape: Shape, origin: Shape, whole: Shape) -> tuple[np.ndarray, int]:
    """A slice of a tensor as runs of neighbours: row-major indices of their starts in the whole, their length.

    Where origin and whole are not given, the slice is the whole.
    """
    if not whole:
        return np.zeros(1, np.int64), prod(shape)
    axis = len(shape) - 1
    while axis > 0 and shape[axis] == whole[axis]:
        axis -= 1  # an axis that is whole joins the run of the axis before it
    index = np.arange(prod(whole[:axis]), dtype=np.int64).reshape(whole[:axis])
    rows = index[tuple(slice(o, o + n) for o, n in zip(origin[:axis], shape[:axis], strict=True))].reshape(-1)
    behind = prod(whole[axis + 1 :])
    return (rows * whole[axis] + origin[axis]) * behind, shape[axis] * behind


def along_run(use: Callable) -> Callable:
    """Makes a function of one element and its random words into a function of a run of elements.

        y[i] = use(x[i], words of the block of element e + i, which of them is its own, args)

    x, y: (n,), one array or two   e: row-major index of y[0] in the whole   ->   draw(x, y, e, sample, stream, args)
    """
    use = njit(forceinline=True, error_model="numpy")(use)

    @njit
    def draw(x, y, e, sample, stream, args):
        head = min(-e & 3, y.size)
        part_of_block(x[:head], y[:head], e, sample, stream, args)
        blocks = (y.size - head) >> 2
        xs, ys, first = x[head:], y[head:], (e + head) >> 2
        for j in range(blocks):
            words = block_of(first + j, sample, stream)
            ys[4 * j] = use(xs[4 * j], words, 0, args)
            ys[4 * j + 1] = use(xs[4 * j + 1], words, 1, args)
            ys[4 * j + 2] = use(xs[4 * j + 2], words, 2, args)
            ys[4 * j + 3] = use(xs[4 * j + 3], words, 3, args)
        part_of_block(xs[4 * blocks :], ys[4 * blocks :], 4 * (first + blocks), sample, stream, args)

    @njit
    def part_of_block(x, y, e, sample, stream, args):
        words = block_of(e >> 2, sample, stream)
        for i in range(y.size):
            y[i] = use(x[i], words, (e & 3) + i, args)

    return draw


def random_bits(samples: np.ndarray, key: Key, step: int, elements: int, *, out: np.ndarray, pool: Any) -> None:
    _random_bits(samples, stream(key, step), out, work=16 * out.size)


@along_run
def _word(x, words, i, args):
    return words[i]


@kernel
def _random_bits(samples, stream, bits):
    pieces = -(-bits.shape[1] // PIECE)
    for job in prange(samples.size * pieces):
        i, at = np.int64(job) // pieces, np.int64(job) % pieces * PIECE
        piece = bits[i, at : at + PIECE]
        _word(piece, piece, at, np.uint64(samples[i]), stream, ())


def fill_uniform(
    x: np.ndarray,
    *,
    out: Any,
    pool: Any,
    key: Key,
    low: float,
    high: float,
    origin: Shape = (),
    whole: Shape = (),
) -> None:
    starts, length = runs(x.shape, origin, whole)
    _fill_uniform(x.reshape(-1), starts, length, stream(key, 0), (float(low), float(high - low)), work=16 * x.size)


@along_run
def _uniform(x, words, i, args):
    low, span = args
    return low + span * (words[i] + 0.5) / 2.0**32


@kernel
def _fill_uniform(x, starts, length, stream, args):
    pieces = -(-length // PIECE)
    for job in prange(starts.size * pieces):
        run, at = np.int64(job) // pieces, np.int64(job) % pieces * PIECE
        piece = x[run * length + at : run * length + min(at + PIECE, length)]
        _uniform(piece, piece, starts[run] + at, np.uint64(0), stream, args)


def fill_normal(
    x: np.ndarray, *, out: Any, pool: Any, key: Key, deviation: float, origin: Shape = (), whole: Shape = ()
) -> None:
    starts, length = runs(x.shape, origin, whole)
    _fill_normal(x.reshape(-1), starts, length, stream(key, 0), float(deviation), work=64 * x.size)


@along_run
def _normal(x, words, i, deviation):
    u, v = (words[i & 2] + 0.5) / 2.0**32, (words[i | 1] + 0.5) / 2.0**32
    cosine, sine = cos_sin_of_turns(v)
    return deviation * math.sqrt(-2.0 * log(u)) * (sine if i & 1 else cosine)


@kernel
def _fill_normal(x, starts, length, stream, deviation):
    pieces = -(-length // PIECE)
    for job in prange(starts.size * pieces):
        run, at = np.int64(job) // pieces, np.int64(job) % pieces * PIECE
        piece = x[run * length + at : run * length + min(at + PIECE, length)]
        _normal(piece, piece, starts[run] + at, np.uint64(0), stream, deviation)
