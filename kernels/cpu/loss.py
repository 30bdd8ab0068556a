"""Losses over classes, a row a job: the row's exponentials are kept where the gradient goes, and scaled there.

Plain cross-entropy has a loop of its own: it is what nearly every step ends with, and has no weights to read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel
from .exponential import exp
from .rows import highest, total

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
    top, whole = softmax_terms(z, dz)
    one = z.dtype.type(1)
    of_label = z[label] if 0 <= label < z.size else z.dtype.type(np.nan)  # never reads outside
    for j in range(z.size):
        share = dz[j] / whole
        dz[j] = scale * (share - one if j == label else share)
    return np.log(whole) - (of_label - top)


@njit
def softmax_terms(z, e):
    """e[j] = exp(z[j] - max z); (max z, sum of e)."""
    top = highest(z)
    for j in range(z.size):
        e[j] = exp(z[j] - top)
    return top, z.dtype.type(total(e))


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
    top, whole = softmax_terms(z, dz)
    inside, log_whole = 0 <= label < z.size, np.log(whole)
    peak = peak * w[label] if inside else z.dtype.type(np.nan)  # never reads outside
    loss, mass = peak * (log_whole - (z[label if inside else 0] - top)), peak
    if base > zero:
        for j in range(z.size):
            loss += base * w[j] * (log_whole - (z[j] - top))
            mass += base * w[j]
    for j in range(z.size):
        dz[j] = scale * (dz[j] / whole * mass - base * w[j] - (peak if j == label else zero))
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
    one, loss = z.dtype.type(1), z.dtype.type(0)
    softness = one / temperature
    log_p, log_q = _log_total(z, softness, dz), _log_total(teacher, softness, dz)
    for j in range(z.size):
        p, q = z[j] * softness - log_p, teacher[j] * softness - log_q
        dz[j] = exp(q)
        loss += dz[j] * (q - p)
    for j in range(z.size):
        dz[j] = scale * temperature * (exp(z[j] * softness - log_p) - dz[j])
    return temperature * temperature * loss


@njit(error_model="numpy")
def _log_total(z, softness, e):
    """log( sum_j exp(softness * z[j]) ), with e for scratch"""
    top = highest(z)
    for j in range(z.size):
        e[j] = exp(softness * (z[j] - top))
    return top * softness + z.dtype.type(np.log(total(e)))
