"""Losses over classes: loss and gradient in one pass over rows that stay in the first-level cache."""

from __future__ import annotations

from typing import Any

from .reduction import rows_by
from .softmax import kernels


def cross_entropy(
    logits: Any,
    labels: Any,
    *,
    out: Any,
    pool: Any = None,
    smoothing: float = 0.0,
    weights: Any = None,
    ignore: int | None = None,
    scale: float = 1.0,
) -> None:
    """Softmax cross-entropy of each sample, and its gradient."""
    rows, k = logits.shape
    grid, block, whole = rows_by(k, rows)
    switches = ignore or 0, ignore is not None, weights is not None, whole
    given = logits if weights is None else weights  # some array of the right type where there are no weights
    kernels.launch("cross_entropy", grid, block, logits, labels, given, *out, rows, k, smoothing, scale, *switches)


def kl_divergence(
    z: Any, teacher: Any, *, out: Any, pool: Any = None, temperature: float = 1.0, scale: float = 1.0
) -> None:
    """Divergence of softened classes from a teacher's, and its gradient."""
    rows, k = z.shape
    grid, block, whole = rows_by(k, rows)
    kernels.launch("kl_divergence", grid, block, z, teacher, *out, rows, k, temperature, scale, whole)
