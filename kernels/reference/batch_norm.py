"""Batch norm, as the formulas stand; sums in float64, because their differences matter."""

from __future__ import annotations

import numpy as np

from .activation import relu


def column_moments(x: np.ndarray) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    return np.stack([np.full(x.shape[-1], float(len(rows))), rows.sum(axis=0), (rows * rows).sum(axis=0)])


def batch_norm(
    x: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    activation: str | None = None,
) -> np.ndarray:
    y = (x - mean) * inverse * weight + bias
    return relu(y) if activation == "relu" else y


def batch_norm_sums(dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    dy, x, mean, inverse = (a.reshape(-1, x.shape[-1]).astype(np.float64) for a in (dy, x, mean, inverse))
    return np.stack([dy.sum(axis=0), (dy * ((x - mean) * inverse)).sum(axis=0)])


def batch_norm_dx(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    weight: np.ndarray,
    mean_dy: np.ndarray,
    mean_product: np.ndarray,
) -> np.ndarray:
    return weight * inverse * (dy - mean_dy - (x - mean) * inverse * mean_product)
