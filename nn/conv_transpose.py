"""ConvTranspose2d: the adjoint of a convolution as a layer, so its passes are the convolution's in another order.

    <conv(x), y> = <x, transposed(y)>           forward: conv2d_dx      dx: conv2d      dweight: conv2d_dw, x and dy exchanged

What maps (H, W) to (P, Q) there maps (P, Q) to (H, W) here; where a stride lets several (H, W) have one (P, Q), this is the
smallest, and output_padding more.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..core.shape import Pair, Shape, each, prod
from ..core.spec import Init, Spec
from ..kernels import ops
from .convolution import Convolution


class ConvTranspose2d(Convolution):
    """Transposed convolution over (H, W).

        y[n,h,w,k] = act( sum_{c,r,s} x[n,p,q,c] * weight[c,r,s,k] + bias[k] )   over p, q with h = stride*p + dilation*r - top, w = ...

    x: (N, P, Q, C)   weight: (C, R, S, K/groups)   bias: (K,)   ->   y: (N, H, W, K)
    H = stride*(P-1) + dilation*(R-1) + 1 - top - bottom + output_padding, output_padding < stride.
    Starts as torch.nn.ConvTranspose2d.
    """

    rank = 2

    def __init__(
        self,
        channels: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        output_padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        activation: str | None = None,
    ):
        super().__init__(
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            activation=activation,
        )
        self.output_padding = each(output_padding, 2)

    def specs(self, shape: Shape) -> list[Spec]:
        self.out_shape(shape)
        outputs = self.channels // self.groups
        start = Init("uniform", 1 / sqrt(prod(self.window.kernel) * outputs))
        weight = Spec("weight", (shape[2], *self.window.kernel, outputs), start)
        return [weight, Spec("bias", (self.channels,), start, decay=False)] if self.bias else [weight]

    def out_shape(self, shape: Shape) -> Shape:
        self._check(shape)
        return (*self.window.inputs(shape[:2], self.output_padding), self.channels)

    def convolve(self, x: Any, w: Any, **how: Any) -> Any:
        return ops.conv2d_dx(x, w, self.window, self.window.inputs(x.shape[1:3], self.output_padding), **how)

    def gradients(self, x: Any, w: Any, dw: Any, dy: Any, by_input: bool, **how: Any) -> Any:
        ops.conv2d_dw(dy, x, self.window, accumulate=True, out=dw, **how)
        return ops.conv2d(dy, w, self.window, **how) if by_input else None
