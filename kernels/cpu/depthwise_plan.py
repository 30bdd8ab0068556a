"""What a depthwise convolution consists of: rectangles of pixels, each with the taps that all of its pixels meet.

Along an axis, place o of the output meets tap r at place i of the input where i = stride*o + dilation*r - before lies
inside. These meetings are listed, not solved for: read by o they are a convolution, read by i its adjoint, so the two
cannot disagree. Neighbours that meet the same taps are one run; a run of rows and a run of columns are a rectangle. A
plan depends on the shape of a sample only, and is made once.

    padding 1, kernel 3:    taps  1 2 | 0 1 2  0 1 2  0 1 2 | 0 1         three runs: a border, the inside, a border
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import gcd
from typing import NamedTuple

import numpy as np

from ...core.shape import Pair, Window, prod
from .simd import MR

ROWS = 2 * MR  # of pixels in a job: so a border one pixel wide fills tiles too


class Run(NamedTuple):
    """`places` of an axis that meet the same `taps` taps; the first place meets the first of them at `at`."""

    place: int
    places: int
    at: int
    tap: int
    taps: int


class Axis(NamedTuple):
    """All places of an axis in runs, and four distances: to the next place, in the output and in the input; to the next
    tap, in the filter and in the input."""

    runs: list[Run]
    place: int
    at: int
    tap: int
    at_tap: int


def axis(size: int, window: Window, i: int, adjoint: bool, most: int) -> Axis:
    """Axis i of an input of `size` pixels; adjoint: these are the output. Runs are cut at `most` places."""
    k, s, d, before = window.kernel[i], window.stride[i], window.dilation[i], window.padding[i][0]
    outs = (size + sum(window.padding[i]) - d * (k - 1) - 1) // s + 1
    meetings = [(p, r, s * p - before + d * r) for p in range(outs) for r in range(k)]
    meetings = [(p, r, h) for p, r, h in meetings if 0 <= h < size]
    if not adjoint:
        return Axis(_runs(meetings, outs, 1, most), 1, s, 1, d)
    meetings = sorted((h, r, p) for p, r, h in meetings)
    return Axis(_runs(meetings, size, s, most), s, 1, s // gcd(s, d), -d // gcd(s, d))


def _runs(meetings: list[tuple[int, int, int]], places: int, step: int, most: int) -> list[Run]:
    """Runs of places `step` apart, from (place, tap, at) in this order."""
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


class Rectangle(NamedTuple):
    """A product: rows of a tile with digits (i1, i2), i2 < n2, and their distances in A and C; bounds of its taps."""

    rows: int
    n2: int
    a0: int
    a1: int
    a2: int
    c0: int
    c1: int
    c2: int
    first: int
    last: int


class Steps(NamedTuple):
    """Distances in numbers, not bytes; c_piece: between the results of the jobs of one sample."""

    a_sample: int
    b_sample: int
    c_sample: int
    c_piece: int
    a_step: int
    b_step: int
    channels: int


@dataclass(frozen=True)
class Plan:
    """The products of a sample; rectangles: (jobs, products of a job) Rectangles.   taps: (T, 3), for the tile."""

    rectangles: np.ndarray
    taps: np.ndarray
    steps: Steps
    flops: int


@lru_cache(maxsize=256)
def correlation(window: Window, size: Pair, adjoint: bool, c: int, dtype: np.dtype) -> Plan:
    """For an image x of `size`; adjoint: for its dx, where A is dy."""
    a, y = (window.out(*size), size) if adjoint else (size, window.out(*size))
    rows, columns = axis(size[0], window, 0, adjoint, ROWS), axis(size[1], window, 1, adjoint, y[1])
    taps: list[tuple[int, int, int]] = []

    def rectangle(i: Run, j: Run) -> Rectangle:
        meet = range(i.taps if j.taps else 0)
        first = len(taps)
        taps.extend(
            (r * rows.at_tap * a[1] * c, ((i.tap + r * rows.tap) * window.kernel[1] + j.tap) * c, j.taps) for r in meet
        )
        from_a, to_y = (i.at * a[1] + j.at) * c, (i.place * y[1] + j.place) * c
        lines = rows.at * a[1] * c, rows.place * y[1] * c
        return Rectangle(
            i.places * j.places,
            j.places,
            from_a,
            lines[0],
            columns.at * c,
            to_y,
            lines[1],
            columns.place * c,
            first,
            len(taps),
        )

    rectangles = [[rectangle(i, j) for j in columns.runs] for i in rows.runs]
    steps = Steps(prod(a) * c, 0, prod(y) * c, 0, columns.at_tap * c, columns.tap * c, c)
    return _plan(rectangles, taps, steps, window, size, dtype)


@lru_cache(maxsize=256)
def gradient(window: Window, size: Pair, c: int, dtype: np.dtype) -> Plan:
    """For the partial sums of dw, one for each job; A is x, of `size`, B is dy."""
    y, s = window.out(*size), window.kernel[1]
    rows, columns = axis(size[0], window, 0, False, ROWS), axis(size[1], window, 1, False, y[1])
    taps: list[tuple[int, int, int]] = []

    def rectangle(i: Run, j: Run) -> Rectangle:
        first = len(taps)
        taps.extend(
            (p * rows.at * size[1] * c, ((i.place + p) * y[1] + j.place) * c, j.places) for p in range(i.places)
        )
        from_x, to_w = (i.at * size[1] + j.at) * c, (i.tap * s + j.tap) * c
        lines = rows.at_tap * size[1] * c, s * c
        return Rectangle(
            i.taps * j.taps, j.taps, from_x, lines[0], columns.at_tap * c, to_w, lines[1], c, first, len(taps)
        )

    rectangles = [[rectangle(i, j) for j in columns.runs] for i in rows.runs]
    piece = prod(window.kernel) * c
    steps = Steps(prod(size) * c, prod(y) * c, len(rectangles) * piece, piece, columns.at * c, c, c)
    return _plan(rectangles, taps, steps, window, size, dtype)


def _plan(rectangles: list, taps: list, steps: Steps, window: Window, size: Pair, dtype: np.dtype) -> Plan:
    fields = np.dtype([(name, np.int64) for name in Rectangle._fields])
    in_bytes = np.array(taps, np.int64).reshape(-1, 3) * (dtype.itemsize, dtype.itemsize, 1)
    flops = 2 * prod(window.kernel) * prod(window.out(*size)) * steps.channels
    return Plan(np.array(rectangles, fields), in_bytes, steps, flops)
