"""Group norm, over arrays folded to (N, S, G, C/G)."""

from __future__ import annotations

import numpy as np


def folded(x: np.ndarray, groups: int) -> np.ndarray:
    n, channels = x.shape[0], x.shape[-1]
    positions = int(np.prod(x.shape[1:-1]))
    return x.reshape(n, positions, groups, channels // groups).astype(np.float64)


def normalised(x: np.ndarray, mean: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    return (folded(x, mean.shape[1]) - mean[:, None, :, None]) * inverse[:, None, :, None]


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, groups: int, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x4 = folded(x, groups)
    terms = max(1, x4.shape[1] * x4.shape[3])
    mean = x4.sum(axis=(1, 3)) / terms
    variance = ((x4 - mean[:, None, :, None]) ** 2).sum(axis=(1, 3)) / terms
    inverse = 1 / np.sqrt(variance + eps)
    y = normalised(x, mean, inverse).reshape(x.shape) * weight + bias
    return y.astype(x.dtype), mean.astype(x.dtype), inverse.astype(x.dtype)


def group_norm_dx(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    e, xn = folded(dy * weight, mean.shape[1]), normalised(x, mean, inverse)
    terms = max(1, e.shape[1] * e.shape[3])
    mean_e, mean_product = (a.sum(axis=(1, 3), keepdims=True) / terms for a in (e, e * xn))
    dx = e - mean_e - xn * mean_product
    return (dx * inverse[:, None, :, None]).reshape(x.shape).astype(x.dtype)


def group_norm_dw(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, *, accumulate: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    products = dy * normalised(x, mean, inverse).reshape(x.shape)
    rows = (-1, x.shape[-1])
    return products.reshape(rows).sum(axis=0).astype(x.dtype), dy.reshape(rows).sum(axis=0).astype(x.dtype)
