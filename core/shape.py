"""Shapes and windows: how large the output of a sliding window is, said once.

Convolution and pooling share one value, `Window`, so that an op's shape rule, its kernels and its gradients cannot
disagree about padding. Padding is stored per side, because "same" with an even kernel is not symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from numbers import Integral
from typing import TypeAlias

from .errors import UsageError

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]

__all__ = ["Shape", "Pair", "Window", "each", "prod", "some"]


def each(value: int | Shape, rank: int) -> Shape:
    """One number for each of `rank` axes: a number repeated, or the numbers themselves."""
    if isinstance(value, Integral):
        return (int(value),) * rank
    if not isinstance(value, Sequence) or not all(isinstance(number, Integral) for number in value):
        raise UsageError(
            f"{value!r} must be an integer, or {rank} of them", "give one number for each axis, or one for all"
        )
    if len(value) != rank:
        raise UsageError(f"{value} has {len(value)} numbers, for {rank} axes")
    return tuple(map(int, value))


def some(what: str, value: int) -> int:
    """`value`, of which there must be at least one."""
    if not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{what} = {value!r} must be an integer of at least 1", f"give {what} a size")
    return int(value)


def halves(total: int) -> Pair:
    """(before, after) of a padding, the larger half after."""
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """A window that slides over (H, W), or over any number of axes.

        P = floor((H + top + bottom - dilation*(R-1) - 1) / stride) + 1          Q likewise from W

    kernel (R, S), stride, dilation: a number for each axis.   padding: ((top, bottom), (left, right)).
    """

    kernel: Shape
    stride: Shape = (1, 1)
    padding: tuple[Pair, ...] = ((0, 0), (0, 0))
    dilation: Shape = (1, 1)

    @classmethod
    def of(
        cls,
        kernel: int | Shape,
        stride: int | Shape = 1,
        padding: int | Shape | tuple[Pair, ...] | str = 0,
        dilation: int | Shape = 1,
        rank: int = 2,
    ) -> Window:
        """A window over `rank` axes from a user's words: a number for all axes or one for each; padding also as
        (before, after) of each axis, "same" (stride 1: the output is as large as the input), or "causal": all that a
        window reaches back is before, so that no output sees what comes after it."""
        kernel, stride, dilation = each(kernel, rank), each(stride, rank), each(dilation, rank)
        if min(kernel + stride + dilation) < 1:
            raise UsageError(f"kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1")
        sides = cls._sides(kernel, stride, padding, dilation)
        if min(map(min, sides)) < 0:
            raise UsageError(f"padding {sides} must not be negative")
        return cls(kernel, stride, sides, dilation)

    @staticmethod
    def _sides(
        kernel: Shape, stride: Shape, padding: int | Shape | tuple[Pair, ...] | str, dilation: Shape
    ) -> tuple[Pair, ...]:
        if padding == "same":
            if max(stride) > 1:
                raise UsageError(f'padding "same" needs stride 1, not {stride}', "give the padding as numbers")
            return tuple(halves(d * (k - 1)) for k, d in zip(kernel, dilation, strict=True))
        if padding == "causal":
            return tuple((d * (k - 1), 0) for k, d in zip(kernel, dilation, strict=True))
        if isinstance(padding, str):
            raise UsageError(f'padding "{padding}" is not known', 'use a number, one for each axis, "same" or "causal"')
        if isinstance(padding, tuple) and isinstance(padding[0], tuple):
            return tuple((int(before), int(after)) for before, after in padding)
        return tuple((p, p) for p in each(padding, len(kernel)))

    def out(self, *size: int) -> Shape:
        """(P, Q) of an input (H, W); UsageError if the window is larger than the padded input."""
        return tuple(map(_positions, size, self.kernel, self.stride, self.padding, self.dilation))

    def inputs(self, size: Shape, extra: Shape) -> Shape:
        """(H, W) of the smallest input with output `size` (P, Q), and `extra` more: what a transposed convolution gives.

        H = stride*(P-1) + dilation*(R-1) + 1 - top - bottom + extra,     extra < stride
        """
        if not all(0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            raise UsageError(f"output_padding {extra} must be less than the stride {self.stride}, and not negative")
        axes = zip(size, self.kernel, self.stride, self.padding, self.dilation, extra, strict=True)
        found = tuple(s * (p - 1) + d * (k - 1) + 1 - sum(sides) + e for p, k, s, sides, d, e in axes)
        if min(found) < 1:
            raise UsageError(f"padding {self.padding} leaves nothing of an output: {found}", "use less padding")
        return found


def _positions(n: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Of a window along one axis."""
    span = dilation * (kernel - 1) + 1
    if n + sum(padding) < span:
        raise UsageError(
            f"a window that spans {span} (kernel {kernel}, dilation {dilation}) is larger than the input {n} + padding {padding}",
            "use a smaller kernel or more padding",
        )
    return (n + sum(padding) - span) // stride + 1
