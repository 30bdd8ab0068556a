"""Losses over classes: the row maximum is subtracted first, which keeps every exponential <= 1."""

from __future__ import annotations

import numpy as np


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits, labels, *, smoothing=0.0, weights=None, ignore=None, scale=1.0):
    real, classes = logits.dtype.type, logits.shape[1]
    counts = np.full(labels.shape, True) if ignore is None else labels != ignore
    w = np.ones(classes, logits.dtype) if weights is None else weights
    log_p = log_softmax(logits)
    label = np.where(counts, labels, 0)[:, None]
    peak = real(1 - smoothing) * w[label]
    base = real(smoothing / classes) * w
    loss = -peak * np.take_along_axis(log_p, label, axis=1)
    if smoothing:
        loss = loss - (base * log_p).sum(axis=1, keepdims=True)
    q = base + peak * (np.arange(classes) == label)
    dz = real(scale) * (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q)
    return np.where(counts, loss[:, 0], 0), np.where(counts[:, None], dz, 0)


def kl_divergence(z, teacher, *, temperature=1.0, scale=1.0):
    t = z.dtype.type(temperature)
    log_p, log_q = log_softmax(z / t), log_softmax(teacher / t)
    q = np.exp(log_q)
    return t**2 * (q * (log_q - log_p)).sum(axis=1), z.dtype.type(scale) * t * (np.exp(log_p) - q)
