"""What kernels are told of their epilogue: three arrays, of which some are not there, and which of its parts are meant."""

from __future__ import annotations

from typing import Any

SCALED, BIASED, RESIDUAL, RELU, GELU = 1, 2, 4, 8, 16  # as in epilogue.cuh


def epilogue(
    out: Any,
    *,
    scale: Any = None,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> tuple[tuple, tuple]:
    """Its arrays (out stands for one that is not there) and its numbers: parts, alpha, beta."""
    arrays = {SCALED: scale, BIASED: bias, RESIDUAL: residual}
    parts = sum(part for part, array in arrays.items() if array is not None)
    parts |= {None: 0, "relu": RELU, "gelu": GELU}[activation]
    return tuple(out if array is None else array for array in arrays.values()), (parts, alpha, beta)
