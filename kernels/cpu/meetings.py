"""Which places of a window's output meet which taps: rectangles of places, each a product without borders.

Along an axis, place o of the output meets tap r at place i of the input where i = stride*o + dilation*r - before lies
inside. These meetings are listed, not solved for: read by o they are a convolution, read by i its adjoint, so the two
cannot disagree; and places and taps may change roles, which gives the gradient by the weights. Neighbours that meet the
same taps are one run; a run of every axis is a rectangle. Nothing is padded, no zero is multiplied, neither those around
an image nor those a stride would spread it out with; what rectangles there are depends on the shape of a sample only.

    padding 1, kernel 3:    taps  1 2 | 0 1 2  0 1 2  0 1 2 | 0 1         three runs: a border, the inside, a border

A product with zero is left out even where the weight is infinite or not a number: nothing meets it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, product
from math import gcd
from typing import NamedTuple

import numpy as np

from ...core.shape import Shape, Window, prod


class Run(NamedTuple):
    """`places` of an axis that meet the same `taps` taps; the first place meets the first of them at `at`."""

    place: int
    places: int
    at: int
    tap: int
    taps: int


class Axis(NamedTuple):
    """All places of an axis in runs, and four distances: to the next place, in the output and in the input; to the next
    tap, in the filter and in the input. Taps are in the order of the input."""

    runs: list[Run]
    place: int
    at: int
    tap: int
    at_tap: int

    def exchanged(self) -> Axis:
        """The same meetings, read by the taps."""
        return Axis(
            [Run(r.tap, r.taps, r.at, r.place, r.places) for r in self.runs], self.tap, self.at_tap, self.place, self.at
        )


class Rectangle(NamedTuple):
    """`places` along each axis, and where its first stands in A and in C; its taps, (T, 2): distance in A, number of the tap."""

    places: Shape
    a: int
    c: int
    taps: np.ndarray


def axis(size: int, window: Window, i: int, adjoint: bool, most: int) -> Axis:
    """Axis i of an input of `size` pixels; adjoint: these are the output. Runs are cut at `most` places."""
    k, s, d, before = window.kernel[i], window.stride[i], window.dilation[i], window.padding[i][0]
    outs = (size + sum(window.padding[i]) - d * (k - 1) - 1) // s + 1
    meetings = [(p, r, s * p - before + d * r) for p in range(outs) for r in range(k)]
    meetings = [(p, r, h) for p, r, h in meetings if 0 <= h < size]
    if not adjoint:
        return Axis(_runs(meetings, outs, 1, most), 1, s, 1, d)
    meetings = sorted((h, r, p) for p, r, h in meetings)[::-1]
    return Axis(_runs(meetings, size, s, most), s, 1, -s // gcd(s, d), d // gcd(s, d))


def _runs(meetings: list[tuple[int, int, int]], places: int, step: int, most: int) -> list[Run]:
    """Runs of places `step` apart, from (place, tap, at), the taps of a place in order."""
    met: list[list] = [[] for _ in range(places)]
    for place, tap, at in meetings:
        met[place].append((tap, at))
    runs = []
    for phase in range(min(step, places)):
        alike = groupby(
            range(phase, places, step), lambda place: (len(met[place]), met[place][:1] and met[place][0][0])
        )
        for (taps, _), group in alike:
            same = list(group)
            for start in range(0, len(same), most):
                tap, at = met[same[start]][0] if taps else (0, 0)
                runs.append(Run(same[start], len(same[start : start + most]), at, tap, taps))
    return runs


def rectangles(axes: Sequence[Axis], a: Shape, c: Shape, kernel: Shape) -> list[Rectangle]:
    """All rectangles, the last axis fastest.   a, c: (..., channels) of a sample of A and C.   kernel: taps by axis."""
    to_a, to_c, to_tap = distances(a), distances(c), distances((*kernel, 1))
    return [_rectangle(axes, runs, to_a, to_c, to_tap) for runs in product(*(axis.runs for axis in axes))]


def _rectangle(axes: Sequence[Axis], runs: tuple[Run, ...], to_a: list, to_c: list, to_tap: list) -> Rectangle:
    at = tap = np.zeros((), np.int64)
    for axis, run, a, number in zip(axes, runs, to_a, to_tap, strict=True):
        t = np.arange(run.taps)
        at, tap = np.add.outer(at, t * axis.at_tap * a), np.add.outer(tap, (run.tap + t * axis.tap) * number)
    first_a = sum(run.at * a for run, a in zip(runs, to_a, strict=True)) if at.size else 0
    first_c = sum(run.place * c for run, c in zip(runs, to_c, strict=True))
    return Rectangle(tuple(run.places for run in runs), first_a, first_c, np.stack([at.ravel(), tap.ravel()], axis=1))


def distances(shape: Shape) -> list[int]:
    """From one place to the next along every axis but the last, which are the channels."""
    return [prod(shape[i:]) for i in range(1, len(shape))]


def joined(taps: np.ndarray, terms: int, a_step: int, b_step: int) -> np.ndarray:
    """Runs (a, b, length), of taps (a, b) of `terms` terms each: where a tap goes on from the last, both are one run."""
    goes_on = (np.diff(taps, axis=0) == (terms * a_step, terms * b_step)).all(axis=1)
    starts = np.flatnonzero(np.append([True], ~goes_on)[: len(taps)])
    return np.column_stack([taps[starts], terms * np.diff(np.append(starts, len(taps)))])
