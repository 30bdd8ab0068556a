"""Dropout: random bits are made again in the gradient, so nothing is stored."""

from __future__ import annotations

from math import floor
from typing import Any

from ...core.random import Key
from ...core.shape import Shape, prod
from .launch import cover
from .philox import kernels, runs, stream


def dropout(
    x: Any,
    samples: Any,
    *,
    out: Any,
    pool: Any = None,
    rate: float,
    key: Key,
    step: int,
    origin: Shape = (),
    whole: Shape = (),
) -> None:
    """y = x / (1 - rate) where bits >= floor(rate * 2^32), else 0"""
    starts, length = runs(x, x.shape[1:], origin, whole)
    rule = floor(rate * 2**32), 1 - rate
    arrays = x, samples, starts, out
    kernels.launch("dropout", *cover(x.size, 1), *arrays, x.size, prod(x.shape[1:]), length, *rule, *stream(key, step))
