"""Random bits whose values are the CPU's: the same counters and keys, computed where they are used."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.random import Key
from ...core.shape import Shape, prod
from .launch import Source, cover
from .memory import constant

kernels = Source("philox.cu")


def random_bits(samples: Any, key: Key, step: int, elements: int, *, out: Any, pool: Any = None) -> None:
    """bits[i,e] = word (e mod 4) of Philox4x32-10( (e // 4, samples[i], step mod 2^32, step // 2^32), key )"""
    kernels.launch("random_bits", *cover(out.size, 1), samples, out, out.size, elements, *stream(key, step))


def fill_uniform(
    x: Any,
    *,
    key: Key,
    low: float,
    high: float,
    out: Any = None,
    pool: Any = None,
    origin: Shape = (),
    whole: Shape = (),
) -> None:
    """x[e] = low + (high - low) * (bits[e] + 0.5) / 2^32"""
    starts, length = runs(x, x.shape, origin, whole)
    kernels.launch("fill_uniform", *cover(x.size, 1), x, starts, x.size, length, low, high, *key)


def fill_normal(
    x: Any, *, key: Key, deviation: float, out: Any = None, pool: Any = None, origin: Shape = (), whole: Shape = ()
) -> None:
    """x = deviation * sqrt(-2 log u) * cos(2 pi v), and its sine beside it"""
    starts, length = runs(x, x.shape, origin, whole)
    kernels.launch("fill_normal", *cover(x.size, 1), x, starts, x.size, length, deviation, *key)


def stream(key: Key, step: int) -> tuple[int, int, int, int]:
    """The key's words and the step's."""
    return *key, step % 2**32, step // 2**32


def runs(like: Any, shape: Shape, origin: Shape, whole: Shape) -> tuple[Any, int]:
    """Where the runs of a slice start in the unsharded tensor, on the device; and their length."""
    if not whole:
        return constant(like, ("runs",), lambda: np.zeros(1, np.int64)), max(1, prod(shape))
    return constant(like, ("runs", shape, origin, whole), lambda: _starts(shape, origin, whole)), shape[-1]


def _starts(shape: Shape, origin: Shape, whole: Shape) -> np.ndarray:
    index = np.arange(prod(whole), dtype=np.int64).reshape(whole)
    rows = index[tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))]
    return np.ascontiguousarray(rows[..., 0].reshape(-1))
