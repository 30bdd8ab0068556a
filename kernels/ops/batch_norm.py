"""Normalisation of every channel over the batch and all positions, in the four passes that a layer is made of.

The sums over a batch leave the ops as small float64 arrays and come back as means, so that a layer can send them to the
replicas that share the batch in between: synchronised batch norm needs no op of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import prod
from ..op import Like, op
from .rule import epilogue, need


def per_channel(name: str, x: Any, *vectors: Any) -> None:
    """x: (..., C), C >= 1, and every vector (C,)."""
    need(len(x.shape) >= 1 and x.shape[-1] >= 1, lambda: f"{name}: x {x.shape} must be (..., C) with C >= 1")
    shapes = [v.shape for v in vectors]
    need(
        all(s == x.shape[-1:] for s in shapes),
        lambda: f"{name}: x {x.shape} needs vectors {x.shape[-1:]}, not {shapes}",
    )


@op(flops=lambda x: 3 * prod(x.shape))
def column_moments(x: Any) -> tuple[Like, ...]:
    """Sums of the powers 0, 1 and 2 over all axes but the last: count, sum and sum of squares.

        y[i,c] = sum_m x[m,c]^i,   i = 0, 1, 2

    x: (..., C) -> y: (3, C) float64.   Added up in float64, in an order that the shape decides.
    """
    per_channel("column_moments", x)
    return (Like((3, x.shape[-1]), np.dtype(np.float64)),)


@op(flops=lambda x, *_, **__: 3 * prod(x.shape))
def batch_norm(
    x: Any, mean: Any, inverse: Any, weight: Any, bias: Any, *, activation: str | None = None
) -> tuple[Like, ...]:
    """Normalises by given means and inverse deviations.

        y[m,c] = act( (x[m,c] - mean[c]) * inverse[c] * weight[c] + bias[c] )

    x: (..., C), the others (C,) -> y like x.   After Ioffe and Szegedy 2015, "Batch normalization: accelerating deep network
    training by reducing internal covariate shift".
    """
    per_channel("batch_norm", x, mean, inverse, weight)
    epilogue("batch_norm", x.shape, activation, bias=bias)
    return (Like(x.shape, x.dtype),)


@op(flops=lambda dy, x, mean, inverse: 5 * prod(x.shape))
def batch_norm_sums(dy: Any, x: Any, mean: Any, inverse: Any) -> tuple[Like, ...]:
    """The gradients by bias and weight, which the gradient by x is made of too.

        y[0,c] = sum_m dy[m,c]        y[1,c] = sum_m dy[m,c] * xn[m,c],      xn[m,c] = (x[m,c] - mean[c]) * inverse[c]

    dy, x: (..., C)   mean, inverse: (C,)   ->   y: (2, C) float64
    """
    need(dy.shape == x.shape, lambda: f"batch_norm_sums: dy {dy.shape}, x {x.shape}")
    per_channel("batch_norm_sums", x, mean, inverse)
    return (Like((2, x.shape[-1]), np.dtype(np.float64)),)


@op(flops=lambda dy, *_: 6 * prod(dy.shape))
def batch_norm_dx(
    dy: Any, x: Any, mean: Any, inverse: Any, weight: Any, mean_dy: Any, mean_product: Any
) -> tuple[Like, ...]:
    """Gradient of batch_norm by x where mean and inverse are those of x. out may be dy itself.

        dx[m,c] = weight[c] * inverse[c] * ( dy[m,c] - mean_dy[c] - xn[m,c] * mean_product[c] )

    with mean_dy and mean_product the rows of batch_norm_sums divided by the count; zeros where the means do not depend on
    x.   dy, x: (..., C), the others (C,)   ->   dx like x
    """
    need(dy.shape == x.shape, lambda: f"batch_norm_dx: dy {dy.shape}, x {x.shape}")
    per_channel("batch_norm_dx", x, mean, inverse, weight, mean_dy, mean_product)
    return (Like(x.shape, x.dtype),)
