"""Dropout: its own gradient, and nothing stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.random import Key
from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import inside, need


@op(flops=lambda x, samples, **_: prod(x.shape))
def dropout(
    x: Any, samples: Any, *, rate: float, key: Key, step: int, origin: Shape = (), whole: Shape = ()
) -> tuple[Like, ...]:
    """Zeroes elements with probability rate and scales the rest; applied to dy it is its own gradient.

        y[n,e] = x[n,e] / (1 - rate)   where  bits[n,e] >= floor(rate * 2^32),   else 0

    with bits = random_bits(samples, key, step, .) and e the row-major index in the unsharded sample: a slice of shape
    x.shape[1:] at `origin` of `whole` drops what the whole would (default: x is whole).
    x: (N, ...)   samples: (N,) int64   ->   y: (N, ...).   After Srivastava et al. 2014, "Dropout" (JMLR 15).
    """
    need(0 <= rate < 1, lambda: f"dropout: rate {rate} is not in [0, 1)")
    need(
        samples.shape == x.shape[:1] and samples.dtype == np.int64,
        lambda: f"dropout: samples {samples.shape} for x {x.shape}",
    )
    inside("dropout", x.shape[1:], origin, whole)
    return (Like(x.shape, x.dtype),)
