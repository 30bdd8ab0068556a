"""Three-dimensional convolution: plans of rectangles and of weights know any number of axes, so nothing here is new."""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, Window
from .conv2d_weight import by_weight
from .correlation import correlate


def conv3d(
    x: Any,
    w: Any,
    window: Window,
    *,
    out: Any,
    pool: Any = None,
    groups: int = 1,
    bias: Any = None,
    activation: str | None = None,
) -> None:
    """y = act(x * w + bias), cross-correlation; the op's definition is in kernels/ops/."""
    correlate(x, w, window, out=out, pool=pool, groups=groups, bias=bias, activation=activation)


def conv3d_dx(dy: Any, w: Any, window: Window, size: Shape, *, out: Any, pool: Any = None, groups: int = 1) -> None:
    """Gradient by the input; the op's definition is in kernels/ops/."""
    correlate(dy, w, window, out=out, pool=pool, groups=groups, adjoint=True)


def conv3d_dw(
    x: Any, dy: Any, window: Window, *, out: Any, pool: Any = None, groups: int = 1, accumulate: bool = False
) -> None:
    """Gradient by the weights; the op's definition is in kernels/ops/."""
    by_weight(x, dy, out, window, groups, accumulate, pool)
