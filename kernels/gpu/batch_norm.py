"""Batch norm, in the four passes that a layer is made of."""

from __future__ import annotations

from typing import Any

from .launch import Source, cover
from .reduction import column_totals

_kernels = Source("batch_norm.cu")


def column_moments(x: Any, *, out: Any, pool: Any = None) -> None:
    """y[i,c] = sum_m x[m,c]^i,   i = 0, 1, 2"""
    column_totals("column_moments", 2, x, out=out[1:], pool=pool)
    out[0] = x.size // max(1, x.shape[-1])


def batch_norm(
    x: Any,
    mean: Any,
    inverse: Any,
    weight: Any,
    bias: Any,
    *,
    out: Any,
    pool: Any = None,
    activation: str | None = None,
) -> None:
    """y[m,c] = act( (x[m,c] - mean[c]) * inverse[c] * weight[c] + bias[c] )"""
    arrays = x, mean, inverse, weight, bias, out
    _kernels.launch("batch_norm", *cover(x.size, 1), *arrays, x.size, x.shape[-1], activation == "relu")


def batch_norm_sums(dy: Any, x: Any, mean: Any, inverse: Any, *, out: Any, pool: Any = None) -> None:
    """y[0,c] = sum_m dy[m,c],   y[1,c] = sum_m dy[m,c] * xn[m,c]"""
    column_totals("column_products", 2, dy, x, mean, inverse, out=out, pool=pool)


def batch_norm_dx(
    dy: Any,
    x: Any,
    mean: Any,
    inverse: Any,
    weight: Any,
    mean_dy: Any,
    mean_product: Any,
    *,
    out: Any,
    pool: Any = None,
) -> None:
    """dx = weight * inverse * (dy - mean_dy - xn * mean_product)"""
    arrays = dy, x, mean, inverse, weight, mean_dy, mean_product, out
    _kernels.launch("batch_norm_dx", *cover(x.size, 1), *arrays, x.size, x.shape[-1])
