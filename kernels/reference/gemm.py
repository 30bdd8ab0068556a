"""GEMM and column sums by definition."""

from __future__ import annotations

import numpy as np

from .activation import gelu, relu


def epilogue(y, *, scale=None, bias=None, residual=None, activation=None):
    """act( scale * y + bias + residual )"""
    if scale is not None:
        y = y * scale
    for addend in (bias, residual):
        if addend is not None:
            y = y + addend
    return {None: lambda y: y, "relu": relu, "gelu": gelu}[activation](y)


def gemm(a, b, *, trans_a=False, trans_b=False, alpha=1.0, beta=0.0, **more):
    """c[m,n] = act( alpha * sum_k a[m,k] b[k,n] + bias[n] + residual[m,n] )"""
    return epilogue(alpha * ((a.T if trans_a else a) @ (b.T if trans_b else b)), **more)


def batched_gemm(a, b, *, bias=None, residual=None, **how):
    """c[g] = gemm( a[g], b[g] )"""
    rows, added = ([None] * len(a) if x is None else x for x in (bias, residual))
    return np.stack([gemm(*ab, bias=row, residual=d, **how) for *ab, row, d in zip(a, b, rows, added, strict=True)])


def column_sum(x, *, accumulate=False):
    """y[k] = sum_m x[m,k]"""
    return x.reshape(-1, x.shape[-1]).sum(axis=0)
