"""BatchNorm: one layer for every number of axes, alone or synchronised over replicas.

Channels lie last, so vectors, sequences, images and volumes are all rows of C numbers. What a batch is, is asked of
ctx.total: the count, sum and sum of squares of each channel go through it before anything is normalised, and backward's
two sums before dx is made. Alone it is the identity, over replicas a sum; the layer cannot tell.

What is promised: all sums are float64, so the variance is right to about 2^-52 * (1 + mean^2 / variance) of itself. For float32
data that is less than what rounding the data did to it. float64 data with |mean| > 1e6 deviations should be shifted
first: only sums add up over replicas and micro-batches, and a common origin that all of them know would cost a message.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class BatchNorm(Module):
    """Normalises each channel over the batch and all positions.

        y[m,c] = act( (x[m,c] - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c] )

    x: (N, ..., C) -> y like x.   Training: mean and biased variance of the batch; else running_mean and running_var, which move by
    `momentum` towards the mean and unbiased variance of each global batch (commit).   A batch of one row per channel has
    no variance: its output is act(bias), and the buffers stay.   Starts and counts as torch.nn.BatchNorm1d, 2d and 3d.
    After Ioffe and Szegedy 2015, "Batch normalization: accelerating deep network training by reducing internal covariate shift".
    """

    def __init__(self, momentum: float = 0.1, eps: float = 1e-5, activation: str | None = None):
        if not (0 <= momentum <= 1 and eps > 0):
            raise UsageError(
                f"BatchNorm: momentum {momentum} must be in [0, 1], eps {eps} above 0", "the defaults are 0.1 and 1e-5"
            )
        self.momentum = momentum
        self.eps = eps
        self.activation = activation

    def specs(self, shape: Shape) -> list[Spec]:
        channels = self.out_shape(shape)[-1:]
        return [
            Spec("weight", channels, Init("ones"), decay=False),
            Spec("bias", channels, decay=False),
            Spec("running_mean", channels, role="buffer"),
            Spec("running_var", channels, Init("ones"), role="buffer"),
            Spec("count", (1,), role="statistic"),
            Spec("sum", channels, role="statistic"),
            Spec("square", channels, role="statistic"),
        ]

    def out_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] < 1:
            raise UsageError(f"BatchNorm takes samples of shape (..., C) with C >= 1, not {shape}")
        return shape

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        place = {"pool": ctx.pool, "backend": ctx.backend}
        own = count = None
        if ctx.training:
            own = ops.column_moments(x, **place)
            count, mean, variance = moments(*ctx.total(own))
        else:
            mean, variance = p["running_mean"], p["running_var"]
        mean, inverse = mean.astype(x.dtype), (1 / np.sqrt(variance + self.eps)).astype(x.dtype)
        y = ops.batch_norm(x, mean, inverse, p["weight"], p["bias"], activation=self.activation, **place)
        return y, (x, y if self.activation else None, mean, inverse, own, count)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, y, mean, inverse, own, count = saved
        place = {"pool": ctx.pool, "backend": ctx.backend}
        if self.activation:
            dy = ops.relu_dx(dy, y, out=dy, backend=ctx.backend)
        sums = ops.batch_norm_sums(dy, x, mean, inverse, **place)
        g["bias"] += sums[0]
        g["weight"] += sums[1]
        if own is not None:
            g["count"] += own[0, :1]
            g["sum"] += own[1]
            g["square"] += own[2]
        if not ctx.input_gradient:
            return None
        means = (ctx.total(sums) / count if own is not None else 0 * sums).astype(x.dtype)
        return ops.batch_norm_dx(dy, x, mean, inverse, p["weight"], means[0], means[1], out=dy, **place)

    def commit(self, p: Any, g: Any) -> None:
        if g["count"][0] > 1:
            count, mean, variance = moments(g["count"], g["sum"], g["square"])
            p["running_mean"] += self.momentum * (mean - p["running_mean"])
            p["running_var"] += self.momentum * (variance * count / (count - 1) - p["running_var"])


def moments(count: Any, total: Any, square: Any) -> tuple[Any, Any, Any]:
    """(count, mean, biased variance) from the sums of the powers 0, 1 and 2; a count of 0 is taken for 1."""
    count = np.maximum(count, 1)
    mean = total / count
    return count, mean, np.maximum(square / count - mean * mean, 0)  # rounding may leave less than 0; a NaN stays
