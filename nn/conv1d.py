"""Conv1d: a convolution over time is one over images of height 1, so it has no op of its own."""

from __future__ import annotations

from typing import Any

from ..core.shape import Window
from ..kernels import ops
from .convolution import Convolution
from .ending import Ending


class Conv1d(Convolution):
    """Cross-correlation over T.

        y[n,q,k] = act( sum_{s,c} x[n, stride*q + dilation*s - before, c] * weight[k,s,c] + bias[k] )

    x: (N, T, C)   weight: (K, S, C/groups)   bias: (K,)   ->   y: (N, Q, K)
    padding: a number, ((before, after),), "same", or "causal": dilation*(S-1) before and none after, so that y[q] sees
    x[..stride*q] only.   Starts as torch.nn.Conv1d.
    """

    rank = 1

    def _image(self) -> Window:
        """The window over images of height 1."""
        w = self.window
        return Window((1, *w.kernel), (1, *w.stride), ((0, 0), *w.padding), (1, *w.dilation))

    @property
    def carries(self) -> tuple[str, ...]:
        return () if self.activation else Ending._fields

    def convolve(self, x: Any, w: Any, residual: Any = None, **how: Any) -> Any:
        residual = None if residual is None else residual[:, None]
        return ops.conv2d(x[:, None], w[:, None], self._image(), residual=residual, **how)[:, 0]

    def gradients(self, x: Any, w: Any, dw: Any, dy: Any, by_input: bool, **how: Any) -> Any:
        x, w, dw, dy = (a[:, None] for a in (x, w, dw, dy))
        ops.conv2d_dw(x, dy, self._image(), accumulate=True, out=dw, **how)
        return ops.conv2d_dx(dy, w, self._image(), x.shape[1:3], **how)[:, 0] if by_input else None
