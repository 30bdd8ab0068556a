"""What the tile's own epilogue cannot do yet, done to its finished sums in a second pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activation import gelu


def finish(
    sums: np.ndarray,
    out: np.ndarray,
    pool: Any,
    scale: Any = 1.0,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
    beta: float = 0.0,
) -> None:
    """out = act( scale * sums + bias + residual + beta * out ); sums are overwritten, and may be out where beta is 0."""
    sums *= scale
    for addend in (bias, residual, sums.dtype.type(beta) * out if beta else None):
        if addend is not None:
            sums += addend
    if activation == "gelu":
        gelu(sums, out=out, pool=pool)
    elif activation == "relu":
        np.maximum(sums, 0, out=out)
    else:
        out[...] = sums
