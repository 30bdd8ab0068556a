"""Normalisation of every sample by itself: groups of channels over all positions.

Layer norm over the last axis is the case of one group and one position, so it needs no ops of its own.
"""

from __future__ import annotations

from typing import Any

from ...core.shape import Shape, prod
from ..op import Like, op
from .rule import need


def checked(name: str, x: Any, groups: int, *vectors: Any) -> Shape:
    """(N, G), from x: (N, ..., C) with C a multiple of G; every vector is (C,)."""
    need(len(x.shape) >= 2 and x.shape[-1] >= 1, lambda: f"{name}: x {x.shape} must be (N, ..., C) with C >= 1")
    channels = x.shape[-1]
    need(
        groups >= 1 and channels % groups == 0,
        lambda: f"{name}: {channels} channels are not a multiple of {groups} groups",
    )
    shapes = [v.shape for v in vectors]
    need(
        all(s == (channels,) for s in shapes), lambda: f"{name}: x {x.shape} needs vectors ({channels},), not {shapes}"
    )
    return x.shape[0], groups


@op(flops=lambda x, *_, **__: 8 * prod(x.shape))
def group_norm(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> tuple[Like, ...]:
    """Normalises each group of channels of each sample over its positions and channels.

        y[n,s,c] = xn[n,s,c] * weight[c] + bias[c],      xn[n,s,c] = (x[n,s,c] - mean[n,g]) * inverse[n,g],      g = c // (C/G)
        mean[n,g] = sum_{s,c in g} x[n,s,c] / m,   inverse[n,g] = 1 / sqrt( sum_{s,c in g} (x[n,s,c] - mean[n,g])^2 / m + eps )

    x: (N, ..., C) with S positions, m = S*C/G   weight, bias: (C,)   ->   y like x, mean: (N, G), inverse: (N, G).   Sums in float64.
    After Wu and He 2018, "Group normalization"; G = S = 1: Ba, Kiros, Hinton 2016, "Layer normalization".
    """
    stats = checked("group_norm", x, groups, weight, bias)
    return Like(x.shape, x.dtype), Like(stats, x.dtype), Like(stats, x.dtype)


@op(flops=lambda dy, *_, **__: 12 * prod(dy.shape))
def group_norm_dx(dy: Any, x: Any, mean: Any, inverse: Any, weight: Any) -> tuple[Like, ...]:
    """Gradient of group_norm by its input. out may be dy itself.

        dx[n,s,c] = inverse[n,g] * ( e[n,s,c] - sum_{g} e / m - xn[n,s,c] * sum_{g} e * xn / m ),      e[n,s,c] = dy[n,s,c] * weight[c]

    dy, x: (N, ..., C)   mean, inverse: (N, G)   weight: (C,)   ->   dx like x
    """
    stats = checked("group_norm_dx", x, mean.shape[-1], weight)
    need(dy.shape == x.shape, lambda: f"group_norm_dx: dy {dy.shape}, x {x.shape}")
    need(
        mean.shape == inverse.shape == stats,
        lambda: f"group_norm_dx: mean {mean.shape}, inverse {inverse.shape}; need {stats}",
    )
    return (Like(x.shape, x.dtype),)


@op(flops=lambda dy, *_, **__: 5 * prod(dy.shape))
def group_norm_dw(dy: Any, x: Any, mean: Any, inverse: Any, *, accumulate: bool = False) -> tuple[Like, ...]:
    """Gradients of group_norm by weight and bias.

        dw[c] = sum_{n,s} dy[n,s,c] * xn[n,s,c]        db[c] = sum_{n,s} dy[n,s,c]

    dy, x: (N, ..., C)   mean, inverse: (N, G)   ->   dw: (C,), db: (C,)
    """
    stats = checked("group_norm_dw", x, mean.shape[-1])
    need(dy.shape == x.shape, lambda: f"group_norm_dw: dy {dy.shape}, x {x.shape}")
    need(
        mean.shape == inverse.shape == stats,
        lambda: f"group_norm_dw: mean {mean.shape}, inverse {inverse.shape}; need {stats}",
    )
    return Like(x.shape[-1:], x.dtype), Like(x.shape[-1:], x.dtype)
