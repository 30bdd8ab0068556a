"""Dropout: a comparison of random bits with a threshold, so that the rate is exact to 2^-32 and no float is drawn."""

from __future__ import annotations

from math import floor

import numpy as np

from ...core.random import Key
from ...core.shape import Shape, prod
from .philox import of_slice, random_bits


def dropout(
    x: np.ndarray, samples: np.ndarray, *, rate: float, key: Key, step: int, origin: Shape = (), whole: Shape = ()
) -> np.ndarray:
    bits = random_bits(samples, key, step, prod(whole or x.shape[1:]))
    stays = of_slice(bits, x.shape[1:], origin, whole) >= floor(rate * 2**32)
    return np.where(stays, x / x.dtype.type(1 - rate), x.dtype.type(0))
