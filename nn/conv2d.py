"""Conv2d: a two-dimensional convolution, channels last."""

from __future__ import annotations

from typing import Any

from ..kernels import ops
from .convolution import Convolution
from .ending import Ending


class Conv2d(Convolution):
    """Cross-correlation over (H, W).

        y[n,p,q,k] = act( sum_{r,s,c} x[n, stride*p + dilation*r - top, stride*q + dilation*s - left, c] * weight[k,r,s,c] + bias[k] )

    x: (N, H, W, C)   weight: (K, R, S, C/groups)   bias: (K,)   ->   y: (N, P, Q, K)
    padding: a number, a pair, ((top, bottom), (left, right)), "same" or "causal".   Starts as torch.nn.Conv2d.
    """

    rank = 2

    @property
    def carries(self) -> tuple[str, ...]:
        return () if self.activation else Ending._fields

    def convolve(self, x: Any, w: Any, **how: Any) -> Any:
        return ops.conv2d(x, w, self.window, **how)

    def gradients(self, x: Any, w: Any, dw: Any, dy: Any, by_input: bool, **how: Any) -> Any:
        ops.conv2d_dw(x, dy, self.window, accumulate=True, out=dw, **how)
        return ops.conv2d_dx(dy, w, self.window, x.shape[1:3], **how) if by_input else None
