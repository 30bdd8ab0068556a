"""Dropout in one pass: the bits are made in registers where the elements are, and no mask is ever stored."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
from numba import prange

from ...core.random import Key
from ...core.shape import Shape
from .compile import kernel
from .philox import PIECE, along_run, runs, stream


def dropout(
    x: np.ndarray,
    samples: np.ndarray,
    *,
    out: np.ndarray,
    pool: Any,
    rate: float,
    key: Key,
    step: int,
    origin: Shape = (),
    whole: Shape = (),
) -> None:
    starts, length = runs(x.shape[1:], origin, whole)
    rule = (np.uint64(floor(rate * 2**32)), x.dtype.type(1 - rate), x.dtype.type(0))
    _dropout(x.reshape(-1), samples, starts, length, stream(key, step), rule, out.reshape(-1), work=20 * x.size)


@along_run
def _kept(x, words, i, rule):
    threshold, share, zero = rule
    return x / share if words[i] >= threshold else zero


@kernel
def _dropout(x, samples, starts, length, stream, rule, y):
    pieces = -(-length // PIECE)
    for job in prange(samples.size * starts.size * pieces):
        run, at = np.int64(job) // pieces, np.int64(job) % pieces * PIECE
        here, end = run * length + at, run * length + min(at + PIECE, length)
        sample, e = np.uint64(samples[run // starts.size]), starts[run % starts.size] + at
        _kept(x[here:end], y[here:end], e, sample, stream, rule)
