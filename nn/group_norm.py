"""GroupNorm and LayerNorm: normalisation of a sample by itself, so neither knows of batches, replicas or training.

Layer norm is group norm whose samples are single positions; it is the same layer, told where a sample ends.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Context
from ..core.errors import UsageError
from ..core.shape import Shape
from ..core.spec import Init, Spec
from ..kernels import ops
from .module import Module


class GroupNorm(Module):
    """Normalises each group of C/G channels of a sample over its positions and channels.

        y[n,s,c] = (x[n,s,c] - mean[n,g]) / sqrt(var[n,g] + eps) * weight[c] + bias[c],      g = c // (C/G),  var biased

    x: (N, ..., C) -> y like x.   UsageError where C is not a multiple of G.   Starts as torch.nn.GroupNorm.
    After Wu and He 2018, "Group normalization".
    """

    def __init__(self, groups: int, eps: float = 1e-5):
        self.groups = groups
        self.eps = eps

    def specs(self, shape: Shape) -> list[Spec]:
        channels = self.out_shape(shape)[-1:]
        return [Spec("weight", channels, Init("ones"), decay=False), Spec("bias", channels, decay=False)]

    def out_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] < 1 or self.groups < 1 or shape[-1] % self.groups:
            raise UsageError(f"{self!r} takes samples of shape (..., C), C a multiple of {self.groups}, not {shape}")
        return shape

    def _samples(self, x: Any) -> Any:
        return x

    def forward(self, p: Any, x: Any, ctx: Context) -> tuple[Any, Any]:
        place = {"pool": ctx.pool, "backend": ctx.backend}
        samples = self._samples(x)
        y, mean, inverse = ops.group_norm(samples, p["weight"], p["bias"], groups=self.groups, eps=self.eps, **place)
        return y.reshape(x.shape), (samples, mean, inverse)

    def backward(self, p: Any, g: Any, saved: Any, dy: Any, ctx: Context) -> Any:
        x, mean, inverse = saved
        place = {"pool": ctx.pool, "backend": ctx.backend}
        samples = self._samples(dy)
        ops.group_norm_dw(samples, x, mean, inverse, accumulate=True, out=(g["weight"], g["bias"]), **place)
        if not ctx.input_gradient:
            return None
        dx = ops.group_norm_dx(samples, x, mean, inverse, p["weight"], out=samples, **place)
        return dx.reshape(dy.shape)


class LayerNorm(GroupNorm):
    """Normalises each position over its channels.

        y[m,c] = (x[m,c] - mean[m]) / sqrt(var[m] + eps) * weight[c] + bias[c],      var biased

    x: (N, ..., C) -> y like x.   Starts as torch.nn.LayerNorm of the last axis.
    After Ba, Kiros, Hinton 2016, "Layer normalization".
    """

    groups = 1

    def __init__(self, eps: float = 1e-5):
        self.eps = eps

    def _samples(self, x: Any) -> Any:
        return x.reshape(-1, x.shape[-1])
