"""Shapes and windows: how large the output of a sliding window is, said once.

Convolution and pooling share one value, `Window`, so that an op's shape rule, its kernels and its gradients cannot
disagree about padding. Padding is stored per side, because "same" with an even kernel is not symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from .errors import UsageError

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]

__all__ = ["Shape", "Pair", "Window", "pair", "prod"]


def pair(value: int | Pair) -> Pair:
    """(v, v) for a number, the pair itself for a pair."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def halves(total: int) -> Pair:
    """(before, after) of a padding, the larger half after."""
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """A window that slides over (H, W).

        P = floor((H + top + bottom - dilation*(R-1) - 1) / stride) + 1          Q likewise from W

    kernel (R, S), stride, dilation: pairs in (H, W) order.   padding: ((top, bottom), (left, right)).
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @classmethod
    def of(
        cls,
        kernel: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | tuple[Pair, Pair] | str = 0,
        dilation: int | Pair = 1,
    ) -> Window:
        """A window from a user's words: numbers, pairs, or padding="same" (stride 1: the output is as large as the input)."""
        kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)
        if min(kernel + stride + dilation) < 1:
            raise UsageError(f"kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1")
        if padding == "same":
            if stride != (1, 1):
                raise UsageError(f'padding "same" needs stride 1, not {stride}', "give the padding as numbers")
            totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            sides = (halves(totals[0]), halves(totals[1]))
        elif isinstance(padding, tuple) and isinstance(padding[0], tuple):
            sides = (pair(padding[0]), pair(padding[1]))
        elif isinstance(padding, str):
            raise UsageError(f'padding "{padding}" is not known', 'use a number, a pair, or "same"')
        else:
            vertical, horizontal = pair(padding)
            sides = ((vertical, vertical), (horizontal, horizontal))
        if min(sides[0] + sides[1]) < 0:
            raise UsageError(f"padding {sides} must not be negative")
        return cls(kernel, stride, sides, dilation)

    def out(self, height: int, width: int) -> Pair:
        """(P, Q) of an input (H, W); UsageError if the window is larger than the padded input."""
        sizes = []
        for n, k, s, p, d in zip((height, width), self.kernel, self.stride, self.padding, self.dilation, strict=True):
            span = d * (k - 1) + 1
            if n + sum(p) < span:
                raise UsageError(
                    f"a window that spans {span} (kernel {k}, dilation {d}) is larger than the input {n} + padding {p}",
                    "use a smaller kernel or more padding",
                )
            sizes.append((n + sum(p) - span) // s + 1)
        return sizes[0], sizes[1]
