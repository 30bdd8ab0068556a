"""Dice, a sample a job: one pass makes the probabilities and their sums, the next turns them into the gradient in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from ...core.shape import prod
from .compile import kernel
from .exponential import sigmoid
from .loss import softmax_terms
from .scratch import empty


def dice(z: np.ndarray, target: np.ndarray, *, out: tuple, pool: Any, smooth: float = 1.0, scale: float = 1.0) -> None:
    loss, dz = out
    n, classes = z.shape[0], z.shape[-1]
    shape = (n, prod(z.shape[1:-1]), classes)
    sums, run = empty(pool, (n, 2, classes), np.float64), _of_labels if target.dtype == np.int64 else _of_targets
    truth = target.reshape(shape[:2] if run is _of_labels else shape)
    run(z.reshape(shape), truth, smooth, z.dtype.type(scale), sums, loss, dz.reshape(shape), work=60 * z.size)


@kernel
def _of_labels(z, labels, smooth, scale, sums, loss, dz):
    for index in prange(z.shape[0]):
        n = np.int64(index)
        above, below = sums[n, 0], sums[n, 1]
        above[:], below[:] = smooth, smooth
        for i in range(z.shape[1]):
            _, total = softmax_terms(z[n, i], dz[n, i])
            for k in range(z.shape[2]):
                dz[n, i, k] /= total
                below[k] += dz[n, i, k]
                if k == labels[n, i]:
                    above[k] += 2 * dz[n, i, k]
                    below[k] += 1
        loss[n] = _loss(above, below)
        for i in range(z.shape[1]):
            _softmax_gradient(dz[n, i], labels[n, i], above, below, scale)


@njit(error_model="numpy")
def _loss(above, below):
    share = 0.0
    for k in range(above.size):
        share += above[k] / below[k]
    return 1 - share / above.size


@njit(error_model="numpy")
def _softmax_gradient(p, label, above, below, scale):
    """From the probabilities of one pixel, in place."""
    inner = 0.0
    for k in range(p.size):
        inner += p[k] * _slope(k == label, above[k], below[k], p.size)
    for k in range(p.size):
        p[k] = scale * p[k] * (_slope(k == label, above[k], below[k], p.size) - inner)


@njit(error_model="numpy")
def _slope(t, above, below, classes):
    """Of the loss by one probability."""
    return (above / below - 2 * t) / (below * classes)


@kernel
def _of_targets(z, t, smooth, scale, sums, loss, dz):
    for index in prange(z.shape[0]):
        n = np.int64(index)
        above, below = sums[n, 0], sums[n, 1]
        above[:], below[:] = smooth, smooth
        for i in range(z.shape[1]):
            for k in range(z.shape[2]):
                dz[n, i, k] = sigmoid(z[n, i, k])
                above[k] += 2 * dz[n, i, k] * t[n, i, k]
                below[k] += dz[n, i, k] + t[n, i, k]
        loss[n] = _loss(above, below)
        for i in range(z.shape[1]):
            for k in range(z.shape[2]):
                p = dz[n, i, k]
                dz[n, i, k] = scale * p * (1 - p) * _slope(t[n, i, k], above[k], below[k], z.shape[2])
