"""Convolution with fewer multiplications: Winograd's F(4x4, 3x3) and F(2x2, 3x3), where they pay.

A tile of 4 x 4 outputs takes 36 products for each pair of channels instead of 144, one of 2 x 2 takes 16 instead of 36;
but what goes in and comes out must be transformed. The choice weighs one against the other. It never looks at the size
of the batch: a micro-batch, a share or a single sample must take the same algorithm as the whole, or its bits would
differ. So the filters' transform, which is done once for a batch, is counted as if SAMPLES shared it.

Results differ from the direct sum by rounding: docs/kernels.md says how much. float64 is never computed this way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...core.shape import Pair, Shape, Window
from . import threads
from .scratch import empty
from .winograd_plan import planned
from .winograd_stages import CHANNELS, KERNELS, SIZE

SAMPLES = 8
# {m: multiply-adds that take as long as the transform of a tile's input channel, of its output channel, of a filter}
COSTS = {2: (140, 110, 140), 4: (350, 280, 300)}

_on = True


def use(on: bool) -> None:
    """Lets float32 convolutions from now on take Winograd's algorithm where it pays, or not."""
    global _on
    _on = on


def suits(x: Any, w: Shape, window: Window, groups: int, size: Pair) -> bool:
    """Whether the convolution of (N, *size, C), or its gradient by the input, is better done here. x: what is given."""
    return _on and x.dtype == np.float32 and groups == 1 and tile(size, w, window) > 0


def forward(x: Any, w: Any, window: Window, out: Any, pool: Any, **epilogue: Any) -> None:
    """y = act(scale * (x * w) + bias + residual)"""
    (top, _), (left, _) = window.padding
    _correlate(x, w, out, (top, left), False, tile(x.shape[1:3], w.shape, window), pool, **epilogue)


def dx(dy: Any, w: Any, window: Window, out: Any, pool: Any, **epilogue: Any) -> None:
    """The gradient by x: dy correlated with the rotated filters."""
    (top, _), (left, _) = window.padding
    _correlate(dy, w, out, (2 - top, 2 - left), True, tile(out.shape[1:3], w.shape, window), pool, **epilogue)


@lru_cache(maxsize=256)
def tile(size: Pair, w: Shape, window: Window) -> int:
    """m of the F(m x m) that is faster than the direct sum, or 0."""
    k, *kernel, c = w
    if kernel != [3, 3] or window.stride != (1, 1) or window.dilation != (1, 1) or c % CHANNELS or k % CHANNELS:
        return 0
    p, q = window.out(*size)
    direct = c * k * _met(size[0], p, window.padding[0][0]) * _met(size[1], q, window.padding[1][0])
    costs: dict[int, float] = {0: direct}
    for m, (into, out, filters) in COSTS.items():
        tiles = -(-p // m) * -(-q // m)
        costs[m] = tiles * ((m + 2) ** 2 * c * k + into * c + out * k) + filters * c * k / SAMPLES
    return min(costs, key=costs.__getitem__)


def _met(size: int, outs: int, before: int) -> int:
    """Pairs of an output and a tap along an axis that meet inside the input; the direct sum leaves out the others."""
    return sum(0 <= p + r - before < size for p in range(outs) for r in range(3))


def _correlate(
    x: Any,
    w: Any,
    y: Any,
    before: Pair,
    rotated: bool,
    m: int,
    pool: Any,
    *,
    scale: Any = None,
    bias: Any = None,
    residual: Any = None,
    activation: str | None = None,
) -> None:
    if y.size == 0:
        return
    plan, slots = planned(x.shape, y.shape, *before, rotated, m), threads.threads()
    shared, own = (plan.v, plan.m + plan.u) if plan.few else (plan.panels * plan.u, plan.panels * plan.m + plan.v)
    arguments = (
        x,
        w.reshape(-1),
        empty(pool, (shared // SIZE,), np.float32),
        y.reshape(-1),
        plan.ones if scale is None else scale,
        plan.zeros if bias is None else bias,
        plan.zeros if residual is None else residual.reshape(-1),
        plan.zeros,
        plan.ones,
        plan.record,
        plan.taps,
        empty(pool, (slots, own // SIZE), np.float32),
        residual is not None,
        np.float32(0 if activation == "relu" else -np.inf),
        activation == "gelu",
    )
    KERNELS[m](*arguments, True, work=shared)
    KERNELS[m](*arguments, False, work=plan.flops)
