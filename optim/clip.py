"""Clipping by the norm of the whole model's gradient, wherever its parts lie.

A norm is a property of the whole: every rank adds up the squares of the gradients it owns (tied weights once, padding is
zero), and `total` adds the ranks' sums. So a model that is cut into stages is clipped as it would be in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from ..core.context import alone
from ..kernels import ops
from ..nn.arena import Arena

SMALL = 1e-6  # PyTorch's


def clip(g: Arena, limit: float, total: Callable[[Any], Any] = alone, backend: str = "cpu") -> float:
    """Scales the gradient down to a norm of at most `limit`; the norm it had.

        g <- g * min(1, limit / (norm + 1e-6)),        norm = sqrt( sum_i g[i]^2 ) over the whole model

    total: the sum of a small array over the ranks that hold the other parts of the model.   A gradient that is not finite
    stays not finite.   After Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks".
    """
    norm = sqrt(total(ops.sum_of_squares(g.flat, backend=backend))[0])
    factor = limit / (norm + SMALL)
    if factor < 1:
        ops.scaled(g.flat, s=factor, out=g.flat, backend=backend)
    return norm
