"""Recurrences over time: what they share, the plain one, and the gradient of the recurrent weights.

An op here is the part that cannot wait: the input's share a = W x + b_ih of all steps is one gemm before it, and every
gradient by a weight is one gemm over all steps after it. The state starts at 0.

Variable lengths are a mask: from t = lengths[n] on, the state of sample n is carried and the output repeats it, so the last
step holds the last state of every sample, and a masked run has the bits of a run of each sequence alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import need


def steps_of(name: str, gates: int, a: Any, u: Any, b: Any, lengths: Any) -> Shape:
    """(N, T, H) of a recurrence from its operands; UsageError where they do not fit."""
    fits = len(a.shape) == 3 and a.shape[1] >= 1 and len(u.shape) == 2 and u.shape[0] == gates * u.shape[1]
    need(
        fits and a.shape[2] == u.shape[0] == b.shape[0],
        lambda: (
            f"{name}: a {a.shape}, u {u.shape} and b {b.shape} must be (N, T, {gates}H), ({gates}H, H) and ({gates}H,), T >= 1"
        ),
    )
    lengths_of(name, a, lengths)
    return (*a.shape[:2], u.shape[1])


def lengths_of(name: str, a: Any, lengths: Any) -> None:
    need(
        lengths is None or (lengths.shape == a.shape[:1] and lengths.dtype == np.int64),
        lambda: f"{name}: lengths {lengths.dtype}{lengths.shape} for {a.shape[0]} samples; need int64 ({a.shape[0]},)",
    )


def ends_of(name: str, dy: Any, y: Shape) -> None:
    """dy belongs to every step, or to the last one."""
    need(
        dy.shape in (y, (y[0], y[2])),
        lambda: f"{name}: dy {dy.shape} must be {y} or, for the last step, {(y[0], y[2])}",
    )


def step_flops(a: Any, u: Any) -> int:
    return prod(a.shape[:2]) * 2 * prod(u.shape)


@op(flops=lambda a, u, b, **_: step_flops(a, u))
def rnn(a: Any, u: Any, b: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """Plain recurrence.

        h[n,t] = tanh( a[n,t] + U h[n,t-1] + b )

    a: (N, T, H)   u: (H, H)   b: (H,)   lengths: (N,) int64, default T   ->   h: (N, T, H).
    After Elman 1990, "Finding structure in time" (10.1207/s15516709cog1402_1).
    """
    return (Like(steps_of("rnn", 1, a, u, b, lengths), a.dtype),)


@op(flops=lambda dy, h, u, **_: step_flops(h, u))
def rnn_dx(dy: Any, h: Any, u: Any, *, lengths: Any = None) -> tuple[Like, ...]:
    """Gradient of rnn by a, through all steps.

        da[n,t] = (1 - h[n,t]^2) * ( dy[n,t] + U' da[n,t+1] )

    dy: (N, T, H), or (N, H) for the last step alone   h: the result of rnn   ->   da: (N, T, H).
    """
    steps_of("rnn_dx", 1, h, u, u, lengths)
    ends_of("rnn_dx", dy, h.shape)
    return (Like(h.shape, dy.dtype),)


def _dw_flops(da: Any, h: Any, start: int = 0, stop: int | None = None, **_: Any) -> int:
    return 2 * prod(h.shape) * ((da.shape[2] if stop is None else stop) - start)


@op(flops=_dw_flops)
def recurrent_dw(
    da: Any, h: Any, *, shift: int = 1, start: int = 0, stop: int | None = None, accumulate: bool = False
) -> tuple[Like, ...]:
    """Gradient by recurrent weights: one product over all samples and steps.

        du[j,k] = sum_{n,t} da[n,t,start+j] * h[n,t-shift,k]            h is 0 before its first step

    da: (N, T, G)   h: (N, T, H)   shift: 0 or 1   ->   du: (stop - start, H), the gates start..stop of all G.
    """
    stop = da.shape[2] if stop is None else stop
    need(
        da.shape[:2] == h.shape[:2] and len(da.shape) == len(h.shape) == 3,
        lambda: f"recurrent_dw: da {da.shape}, h {h.shape}",
    )
    need(
        shift in (0, 1) and 0 <= start <= stop <= da.shape[2],
        lambda: f"recurrent_dw: shift {shift}, gates {start} to {stop} of {da.shape[2]}",
    )
    return (Like((stop - start, h.shape[2]), da.dtype),)
