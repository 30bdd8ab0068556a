"""Synthetic data for benches and first trials: any shape, no file, never zeros, and there is something to learn.

    classes   x[n] = pattern[label[n]] + noise[offset[n] : ...]       label[n] = n mod classes
    tokens    x[n,t+1] = next[x[n,t]], in one of eight cases any token; the target is x one step on

Every bit is Philox's at (purpose, global index of the sample), so that any rank draws what every rank would. Noise is a
window into one long row of it, at a place of the sample's own: drawing each number anew would make the data slower
than the network they are to feed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import UsageError
from ...core.random import key
from ...core.shape import Shape, prod
from ...kernels import ops
from ..config import Data
from .assembly import Part, assemble
from .dataset import Dataset
from .division import test_size
from .scaling import filled
from .stored import Stored

BANK = 1 << 16  # places where a window of noise may begin


def open_synthetic(data: Data, dtype: np.dtype) -> Dataset:
    data = filled(data, classes=10, samples=1024)
    test = test_size("synthetic", data.samples, data.test_fraction)
    rows = np.arange(data.samples - test), np.arange(data.samples - test, data.samples)
    if data.kind == "tokens":
        return _tokens(data, dtype, rows)
    if data.length:
        raise UsageError('data.length has no meaning with data.kind = "classes"', "data.shape is that of a sample")
    data = filled(data, shape=(28, 28, 1), white=1.0, mean=(0.0,), deviation=(1.0,))
    if min(data.shape) < 1:
        raise UsageError(f"data.shape = {list(data.shape)} must be at least 1 everywhere", "data.shape=28,28,1")
    x, y = Patterns(data.samples, data.shape, data.classes), np.arange(data.samples) % data.classes
    digest = f"classes {data.samples} {data.shape} {data.classes}"
    return assemble("synthetic", data, dtype, digest, *(Part(x, y, which) for which in rows))


def _tokens(data: Data, dtype: np.dtype, rows: tuple[np.ndarray, np.ndarray]) -> Dataset:
    data = filled(data, length=64)
    for setting in ("shape", "white", "mean", "deviation", "augment"):
        if getattr(data, setting):
            problem = f'data.{setting} has no meaning with data.kind = "tokens"'
            raise UsageError(problem, "data.length, classes and samples have")
    if data.target == "input":
        problem = 'data.target = "input" has no meaning with data.kind = "tokens"'
        raise UsageError(problem, "indices are no values to be rebuilt; leave it out")
    x, y = (Tokens(data.samples, data.length, data.classes, shift) for shift in (0, 1))
    shape, digest = (data.length,), f"tokens {data.samples} {data.length} {data.classes}"
    splits = [Stored("synthetic", x, y, shape, data.classes, None, dtype, which) for which in rows]
    return Dataset("synthetic", data.classes, digest, data, *splits)


class Patterns:
    """(N, ...) float32: a pattern of numbers in [-1, 1) for each class, in noise of deviation 1."""

    dtype = np.dtype(np.float32)

    def __init__(self, samples: int, shape: Shape, classes: int):
        self.shape, size = (samples, *shape), prod(shape)
        self.patterns = 2 * _uniform("pattern", np.arange(classes), size) - 1
        noise = 12**0.5 * (_uniform("noise", np.zeros(1, np.int64), BANK + size)[0] - np.float32(0.5))
        self.noise = np.lib.stride_tricks.sliding_window_view(noise, size)

    def __getitem__(self, indices: Any) -> np.ndarray:
        places = (_bits("place", indices, 1)[:, 0] >> 16).astype(np.int64)
        x = self.noise[places] + self.patterns[indices % len(self.patterns)]
        return x.reshape(-1, *self.shape[1:])


class Tokens:
    """(N, T) int64 in 0 .. vocabulary - 1."""

    dtype = np.dtype(np.int64)

    def __init__(self, samples: int, length: int, vocabulary: int, shift: int):
        self.shape, self.vocabulary, self.shift = (samples, length), vocabulary, shift
        self.next = np.argsort(_bits("next", np.arange(vocabulary), 1)[:, 0], kind="stable")

    def __getitem__(self, indices: Any) -> np.ndarray:
        length = self.shape[1]
        bits = _bits("token", indices, 2 * (length + 1)).astype(np.int64).reshape(-1, length + 1, 2)
        x = bits[:, :, 0] * self.vocabulary >> 32
        keeps = bits[:, :, 1] >> 29 != 0  # seven of eight
        for t in range(length):
            x[:, t + 1] = np.where(keeps[:, t + 1], self.next[x[:, t]], x[:, t + 1])
        return x[:, self.shift : self.shift + length]


def _bits(purpose: str, samples: np.ndarray, elements: int) -> np.ndarray:
    samples, stream = np.ascontiguousarray(samples, np.int64), key(0, f"synthetic {purpose}")
    return ops.random_bits(samples, stream, 0, elements, backend="reference")


def _uniform(purpose: str, samples: np.ndarray, elements: int) -> np.ndarray:
    """In [0, 1), float32."""
    return (_bits(purpose, samples, elements) >> 8).astype(np.float32) / np.float32(1 << 24)
