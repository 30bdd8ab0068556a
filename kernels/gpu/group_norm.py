"""Group norm, and layer norm as the norm of one group."""

from __future__ import annotations

from typing import Any

from ...core.shape import prod
from .launch import BLOCK, WAVES, Source, cover
from .memory import scratch
from .reduction import column_sum

_kernels = Source("group_norm.cu")


def group_norm(x: Any, weight: Any, bias: Any, *, groups: int, eps: float, out: Any, pool: Any = None) -> None:
    """y = (x - mean) * inverse * weight + bias, with mean and inverse of each group of each sample."""
    jobs, sizes = _jobs(x, groups)
    _kernels.launch("group_norm", min(jobs, WAVES), BLOCK, x, weight, bias, *out, jobs, *sizes, eps)


def group_norm_dx(dy: Any, x: Any, mean: Any, inverse: Any, weight: Any, *, out: Any, pool: Any = None) -> None:
    """Gradient by the input."""
    jobs, sizes = _jobs(x, mean.shape[1])
    _kernels.launch("group_norm_dx", min(jobs, WAVES), BLOCK, dy, x, mean, inverse, weight, out, jobs, *sizes)


def group_norm_dw(
    dy: Any, x: Any, mean: Any, inverse: Any, *, out: Any, pool: Any = None, accumulate: bool = False
) -> None:
    """Gradients by weight and bias."""
    products = scratch(pool, x, x.shape, x.dtype)
    _, sizes = _jobs(x, mean.shape[1])
    _kernels.launch("group_norm_products", *cover(x.size, 1), dy, x, mean, inverse, products, x.size, *sizes)
    column_sum(products, out=out[0], pool=pool, accumulate=accumulate)
    column_sum(dy, out=out[1], pool=pool, accumulate=accumulate)


def _jobs(x: Any, groups: int) -> tuple[int, tuple[int, int, int]]:
    """Groups of all samples; positions, channels, groups of one."""
    return len(x) * groups, (prod(x.shape[1:-1]), x.shape[-1], groups)
