"""Random bits as a function of their address, and what is drawn with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.random import Key
from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import inside, need


@op(flops=lambda samples, key, step, elements: 0)
def random_bits(samples: Any, key: Key, step: int, elements: int) -> tuple[Like, ...]:
    """Philox4x32-10 words, addressed by what they are for.

        bits[i,e] = word (e mod 4) of Philox4x32-10( counter = (e // 4, samples[i], step mod 2^32, step // 2^32), key )

    samples: (N,) int64 in [0, 2^32)   key: two 32-bit words (core.random.key)   ->   bits: (N, elements) uint32
    After Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3" (10.1145/2063384.2063405).
    """
    need(
        samples.dtype == np.int64 and len(samples.shape) == 1,
        lambda: f"random_bits: samples {samples.dtype}{samples.shape}",
    )
    need(0 <= elements <= 2**34 and step >= 0, lambda: f"random_bits: {elements} elements, step {step}")
    return (Like((samples.shape[0], elements), np.dtype(np.uint32)),)


@op(flops=lambda x, **_: prod(x.shape), updates=("x",))
def fill_uniform(
    x: Any, *, key: Key, low: float, high: float, origin: Shape = (), whole: Shape = ()
) -> tuple[Like, ...]:
    """Fills x from the uniform distribution on [low, high).

        x[e] = low + (high - low) * (bits[e] + 0.5) / 2^32      in float64, then rounded to x's dtype

    with bits = random_bits([0], key, 0, .) and e the row-major index in the unsharded tensor.
    """
    inside("fill_uniform", x.shape, origin, whole)
    return ()


@op(flops=lambda x, **_: prod(x.shape), updates=("x",))
def fill_normal(x: Any, *, key: Key, deviation: float, origin: Shape = (), whole: Shape = ()) -> tuple[Like, ...]:
    """Fills x from the normal distribution with mean 0.

        x[2j]   = deviation * sqrt(-2 log u) * cos(2 pi v),     x[2j+1] = deviation * sqrt(-2 log u) * sin(2 pi v)

    u = (bits[2j] + 0.5) / 2^32, v = (bits[2j+1] + 0.5) / 2^32, in float64, then rounded; bits as in fill_uniform.
    After Box and Muller 1958, "A note on the generation of random normal deviates".
    """
    inside("fill_normal", x.shape, origin, whole)
    return ()
