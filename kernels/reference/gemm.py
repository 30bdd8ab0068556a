"""GEMM and column sums by definition."""

from __future__ import annotations

import numpy as np


def gemm(a, b, *, trans_a=False, trans_b=False, bias=None, activation=None, accumulate=False):
    """c[m,n] = act( sum_k a[m,k] b[k,n] + bias[n] )"""
    c = (a.T if trans_a else a) @ (b.T if trans_b else b)
    if bias is not None:
        c = c + bias
    return np.maximum(c, 0) if activation == "relu" else c


def column_sum(x, *, accumulate=False):
    """y[k] = sum_m x[m,k]"""
    return x.reshape(-1, x.shape[-1]).sum(axis=0)
