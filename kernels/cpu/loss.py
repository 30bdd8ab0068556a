"""Softmax cross-entropy, a row a job: the row's exponentials are kept where the gradient goes, and scaled there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel


def cross_entropy(
    logits: np.ndarray, labels: np.ndarray, *, out: tuple[np.ndarray, np.ndarray], pool: Any, scale: float = 1.0
) -> None:
    loss, dz = out
    _cross_entropy(logits, labels, logits.dtype.type(scale), loss, dz, work=40 * logits.size)


@kernel
def _cross_entropy(z, labels, scale, loss, dz):
    for n in prange(z.shape[0]):
        loss[n] = _row(z[n], labels[n], scale, dz[n])


@njit(error_model="numpy")
def _row(z, label, scale, dz):
    highest = z[0]
    for x in z:
        highest = x if x > highest else highest  # a NaN may be passed over here; its exponential is a NaN all the same
    total, one = z.dtype.type(0), z.dtype.type(1)
    for j in range(z.size):
        dz[j] = np.exp(z[j] - highest)
        total += dz[j]
    of_label = z[label] if 0 <= label < z.size else z.dtype.type(np.nan)  # never reads outside
    for j in range(z.size):
        share = dz[j] / total
        dz[j] = scale * (share - one if j == label else share)
    return np.log(total) - (of_label - highest)
