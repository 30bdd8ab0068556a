"""Losses over classes, a row a job: the row's exponentials are kept where the gradient goes, and scaled there.

Plain cross-entropy has a loop of its own: it is what nearly every step ends with, and has no weights to read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel

EVERY = np.iinfo(np.int64).min  # ignore: a label that nobody has


def cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    out: tuple[np.ndarray, np.ndarray],
    pool: Any,
    smoothing: float = 0.0,
    weights: np.ndarray | None = None,
    ignore: int | None = None,
    scale: float = 1.0,
) -> None:
    loss, dz = out
    real, work = logits.dtype.type, 40 * logits.size
    if smoothing == 0 and weights is None and ignore is None:
        _cross_entropy(logits, labels, real(scale), loss, dz, work=work)
        return
    w = np.ones(logits.shape[1], logits.dtype) if weights is None else weights
    rule = (np.int64(EVERY if ignore is None else ignore), real(1 - smoothing), real(smoothing / w.size), real(scale))
    _weighted_cross_entropy(logits, labels, w, rule, loss, dz, work=work)


@kernel
def _cross_entropy(z, labels, scale, loss, dz):
    for n in prange(z.shape[0]):
        loss[n] = _row(z[n], labels[n], scale, dz[n])


@njit(error_model="numpy")
def _row(z, label, scale, dz):
    highest, total = _exponentials(z, dz)
    one = z.dtype.type(1)
    of_label = z[label] if 0 <= label < z.size else z.dtype.type(np.nan)  # never reads outside
    for j in range(z.size):
        share = dz[j] / total
        dz[j] = scale * (share - one if j == label else share)
    return np.log(total) - (of_label - highest)


@njit(error_model="numpy")
def _exponentials(z, e):
    """e[j] = exp(z[j] - max z); (max z, sum of e)."""
    highest, total = z[0], z.dtype.type(0)
    for x in z:
        highest = x if x > highest else highest  # a NaN may be passed over here; its exponential is a NaN all the same
    for j in range(z.size):
        e[j] = np.exp(z[j] - highest)
        total += e[j]
    return highest, total


@kernel
def _weighted_cross_entropy(z, labels, w, rule, loss, dz):
    for n in prange(z.shape[0]):
        loss[n] = _weighted_row(z[n], labels[n], w, rule, dz[n])


@njit(error_model="numpy")
def _weighted_row(z, label, w, rule, dz):
    ignore, peak, base, scale = rule
    zero = z.dtype.type(0)
    if label == ignore:
        for j in range(z.size):
            dz[j] = zero
        return zero
    highest, total = _exponentials(z, dz)
    inside, log_total = 0 <= label < z.size, np.log(total)
    peak = peak * w[label] if inside else z.dtype.type(np.nan)  # never reads outside
    loss, mass = peak * (log_total - (z[label if inside else 0] - highest)), peak
    if base > zero:
        for j in range(z.size):
            loss += base * w[j] * (log_total - (z[j] - highest))
            mass += base * w[j]
    for j in range(z.size):
        dz[j] = scale * (dz[j] / total * mass - base * w[j] - (peak if j == label else zero))
    return loss


def kl_divergence(
    z: np.ndarray,
    teacher: np.ndarray,
    *,
    out: tuple[np.ndarray, np.ndarray],
    pool: Any,
    temperature: float = 1.0,
    scale: float = 1.0,
) -> None:
    loss, dz = out
    _kl_divergence(z, teacher, z.dtype.type(temperature), z.dtype.type(scale), loss, dz, work=80 * z.size)


@kernel
def _kl_divergence(z, teacher, temperature, scale, loss, dz):
    for n in prange(z.shape[0]):
        loss[n] = _divergence(z[n], teacher[n], temperature, scale, dz[n])


@njit(error_model="numpy")
def _divergence(z, teacher, temperature, scale, dz):
    log_p, log_q = _log_total(z, temperature), _log_total(teacher, temperature)
    loss = z.dtype.type(0)
    for j in range(z.size):
        p, q = z[j] / temperature - log_p, teacher[j] / temperature - log_q
        loss += np.exp(q) * (q - p)
        dz[j] = scale * temperature * (np.exp(p) - np.exp(q))
    return temperature * temperature * loss


@njit(error_model="numpy")
def _log_total(z, temperature):
    """log( sum_j exp(z[j] / T) )"""
    highest, total = z[0], z.dtype.type(0)
    for x in z:
        highest = x if x > highest else highest
    for x in z:
        total += np.exp((x - highest) / temperature)
    return highest / temperature + np.log(total)
