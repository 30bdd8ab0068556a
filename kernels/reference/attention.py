"""Attention by definition: head by head, with a softmax that gives zeros where no key is valid."""

from __future__ import annotations

import numpy as np


def split(x, parts, heads):
    """(N, T, parts*heads*D) -> `parts` arrays (N, heads, T, D)"""
    n, steps, width = x.shape
    return x.reshape(n, steps, parts, heads, width // (parts * heads)).transpose(2, 0, 3, 1, 4)


def join(*parts):
    """The inverse of split."""
    n, heads, steps, size = parts[0].shape
    return np.stack(parts).transpose(1, 3, 0, 2, 4).reshape(n, steps, len(parts) * heads * size)


def attention(qkv, *, heads, causal=False, mask=None):
    q, k, v = split(qkv, 3, heads)
    n, steps = qkv.shape[:2]
    valid = np.ones((n, 1, 1, steps), bool) if mask is None else mask[:, None, None, :]
    if causal:
        valid = valid & np.tri(steps, dtype=bool)
    scores = q @ k.swapaxes(2, 3) / q.dtype.type(np.sqrt(q.shape[3]))
    scores = np.where(valid, scores, -np.inf)
    highest = scores.max(axis=3, keepdims=True)
    exponentials = np.exp(scores - np.where(highest == -np.inf, 0, highest))
    total = exponentials.sum(axis=3, keepdims=True)
    p = exponentials / np.where(total == 0, 1, total)
    return join(p @ v), p


def attention_dx(dy, qkv, p, *, heads):
    q, k, v = split(qkv, 3, heads)
    (dy,) = split(dy, 1, heads)
    dp = dy @ v.swapaxes(2, 3)
    ds = p * (dp - (p * dp).sum(axis=3, keepdims=True)) / q.dtype.type(np.sqrt(q.shape[3]))
    return join(ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ dy)
