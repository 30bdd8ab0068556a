"""Attention: six products of the tile over all heads of all samples, and two passes over rows of the probabilities.

A product takes groups at one distance, but heads lie D apart and samples T*3C, so queries, keys and values are copied to
(N, heads, T, D) first. That costs 1/T of a product, and then a head is a group and nothing else is moved.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit, prange

from .compile import kernel
from .exponential import exp
from .gemm import batched_gemm
from .pooling import choose
from .rows import dot, highest, total
from .scratch import empty


def attention(
    qkv: np.ndarray, *, out: tuple, pool: Any, heads: int, causal: bool = False, mask: np.ndarray | None = None
) -> None:
    y, p = out
    steps = qkv.shape[1]
    q, k, v = split(qkv, 3, heads, pool)
    scores = p.reshape(len(q), steps, steps)
    batched_gemm(q, k, out=scores, pool=pool, trans_b=True)
    valid = np.ones(qkv.shape[:2], np.bool_) if mask is None else mask
    _softmax(scores, valid, heads, causal, p.dtype.type(1 / sqrt(q.shape[2])), work=20 * p.size)
    found = empty(pool, (1, *q.shape), q.dtype)
    batched_gemm(scores, v, out=found[0], pool=pool)
    join(found, heads, y)


def attention_dx(dy: np.ndarray, qkv: np.ndarray, p: np.ndarray, *, out: np.ndarray, pool: Any, heads: int) -> None:
    q, k, v = split(qkv, 3, heads, pool)
    (dy,) = split(dy, 1, heads, pool)
    p = p.reshape(len(q), *p.shape[2:])
    found, ds = empty(pool, (3, *q.shape), q.dtype), empty(pool, p.shape, p.dtype)
    batched_gemm(p, dy, out=found[2], pool=pool, trans_a=True)
    batched_gemm(dy, v, out=ds, pool=pool, trans_b=True)
    _softmax_dx(p, ds, p.dtype.type(1 / sqrt(q.shape[2])), work=5 * p.size)
    batched_gemm(ds, k, out=found[0], pool=pool)
    batched_gemm(ds, q, out=found[1], pool=pool, trans_a=True)
    join(found, heads, out)


# ---------------------------------------------------------------------------------------------------- heads


def split(x: np.ndarray, parts: int, heads: int, pool: Any) -> np.ndarray:
    """(N, T, parts*heads*D) -> (parts, N*heads, T, D)"""
    n, steps, width = x.shape
    size = width // (parts * heads)
    y = empty(pool, (parts, n * heads, steps, size), x.dtype)
    _heads(x.reshape(n, steps, parts, heads, size), y.reshape(parts, n, heads, steps, size), True, work=2 * x.nbytes)
    return y


def join(x: np.ndarray, heads: int, y: np.ndarray) -> None:
    """The inverse of split, into y."""
    parts, groups, steps, size = x.shape
    n = groups // heads
    _heads(y.reshape(n, steps, parts, heads, size), x.reshape(parts, n, heads, steps, size), False, work=2 * x.nbytes)


@kernel
def _heads(steps_first, heads_first, splits):
    parts, n, heads, steps, _ = heads_first.shape
    for index in prange(n * steps):
        job = np.int64(index)
        i, t = job // steps, job % steps
        for part in range(parts):
            for head in range(heads):
                if splits:
                    _copy(steps_first[i, t, part, head], heads_first[part, i, head, t])
                else:
                    _copy(heads_first[part, i, head, t], steps_first[i, t, part, head])


@njit
def _copy(x, y):
    for d in range(y.size):
        y[d] = x[d]


# ---------------------------------------------------------------------------------------------------- rows


@kernel
def _softmax(s, valid, heads, causal, scale):
    for index in prange(s.shape[0] * s.shape[1]):
        row = np.int64(index)
        group, t = row // s.shape[1], row % s.shape[1]
        end = t + 1 if causal else s.shape[2]
        _softmax_row(s[group, t, :end], valid[group // heads], scale)
        s[group, t, end:] = 0


@njit(error_model="numpy")
def _softmax_row(s, valid, scale):
    """In place; what is not valid becomes 0."""
    nothing = s.dtype.type(-np.inf)
    for j in range(s.size):
        s[j] = choose(valid[j], s[j], nothing)
    top = highest(s)
    top = s.dtype.type(0) if top == nothing else top
    for j in range(s.size):
        s[j] = exp((s[j] - top) * scale)
    whole = total(s)
    share = s.dtype.type(1 / whole if whole != 0 else 1)
    for j in range(s.size):
        s[j] *= share


@kernel
def _softmax_dx(p, ds, scale):
    for index in prange(p.shape[0] * p.shape[1]):
        row = np.int64(index)
        group, t = row // p.shape[1], row % p.shape[1]
        _softmax_dx_row(p[group, t], ds[group, t], scale)


@njit
def _softmax_dx_row(p, ds, scale):
    along = p.dtype.type(dot(p, ds))
    for j in range(p.size):
        ds[j] = p[j] * (ds[j] - along) * scale
