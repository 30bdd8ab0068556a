"""Conv3d: a three-dimensional convolution, channels last."""

from __future__ import annotations

from typing import Any

from ..kernels import ops
from .convolution import Convolution


class Conv3d(Convolution):
    """Cross-correlation over (D, H, W), as Conv2d with one more axis.

    x: (N, D, H, W, C)   weight: (K, T, R, S, C/groups)   bias: (K,)   ->   y: (N, O, P, Q, K).   Starts as torch.nn.Conv3d.
    """

    rank = 3

    def convolve(self, x: Any, w: Any, **how: Any) -> Any:
        return ops.conv3d(x, w, self.window, **how)

    def gradients(self, x: Any, w: Any, dw: Any, dy: Any, by_input: bool, **how: Any) -> Any:
        ops.conv3d_dw(x, dy, self.window, accumulate=True, out=dw, **how)
        return ops.conv3d_dx(dy, w, self.window, x.shape[1:4], **how) if by_input else None
