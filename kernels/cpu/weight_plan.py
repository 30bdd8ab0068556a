"""How the sum of a gradient by the weights is cut: into rectangles of output pixels, and these into jobs.

    dw[k,t,r,s,c] = sum_{n,o,p,q} dy[n,o,p,q,k] * x[n, stride*o + dilation*t - front, ., stride*q + dilation*s - left, c]

A block is a rectangle of at most TERMS pixels of one image, or all pixels of several small images. A tap (r, s) meets a
part of it: along an axis, those outputs whose place in the input lies inside. Depth is a choice of images: tap t pairs
image o of dy with the image of x that it meets there. Jobs are cut by the shape alone; where the gradient is too small
to be shared out, its sum is, in chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...core.shape import Shape, Window, prod
from .simd import lanes

TERMS = 224  # a panel of dy and one of x, of 64 bytes a term, stay in a 32 KiB cache
ROWS = 256  # output channels of a job: with TERMS terms they fill less than half of a 512 KiB cache
PANELS = 8  # that are copied together, so that lines are read whole
JOBS = 8  # at least so many, if that costs little


class Meeting(NamedTuple):
    """A tap along an axis: it reaches stride*o + offset, and for the outputs first <= o < last that lies inside."""

    offset: int
    first: int
    last: int


class Piece(NamedTuple):
    """The rectangle [p0, p1) x [q0, q1) of outputs; first and last: of the rows of x that its taps meet."""

    p0: int
    p1: int
    q0: int
    q1: int
    first: int
    last: int


class Job(NamedTuple):
    """Part of the gradient, from blocks [first, last) of the sum: output channels [filter, filter + rows), and of column
    `tap` of the filter, which begins at `column` of dw, some panels of input channels, from `channel` on."""

    chunk: int
    filter: int
    rows: int
    channel: int
    column: int
    tap: int
    first_panel: int
    last_panel: int
    first: int
    last: int


class Size(NamedTuple):
    """Of x, of dy, of a filter; c: channels of a group.   a_panel, b_panel: distances of copied panels, a_room: of all."""

    height: int
    width: int
    channels: int
    p: int
    q: int
    filters: int
    r: int
    s: int
    c: int
    terms: int
    step: int
    a_panel: int
    b_panel: int
    a_room: int
    b_room: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A gradient without its arrays. size: one Size.   jobs: Jobs.   blocks: (., 3): piece, first and last of pairs.

    pieces: Pieces.   rows: 0, 1, ..., then those of x that Pieces tell.   runs: (pieces, R, 3): where a run of the sum
    begins in the piece's rows of dy, in its rows of x, and its length, in rows.   columns: (S, 3): Meetings.
    pairs: (., 2): images of x and of dy that meet.
    """

    size: np.ndarray
    jobs: np.ndarray
    blocks: np.ndarray
    pieces: np.ndarray
    rows: np.ndarray
    runs: np.ndarray
    columns: np.ndarray
    pairs: np.ndarray
    chunks: int
    flops: int


def meetings(window: Window, axis: int, size: int, outs: int) -> list[Meeting]:
    """Of all taps along an axis of an input of this size."""
    step, before = window.stride[axis], window.padding[axis][0]
    offsets = [window.dilation[axis] * tap - before for tap in range(window.kernel[axis])]
    return [Meeting(at, *inside(at, step, 0, outs, size)) for at in offsets]


def inside(offset: int, step: int, first: int, last: int, size: int) -> tuple[int, int]:
    """The outputs of [first, last) for which a tap lies inside."""
    low = max(first, -(offset // step))
    return low, max(low, min(last, (size - 1 - offset) // step + 1))


def cut(n: int, parts: int) -> list[tuple[int, int]]:
    """[0, n) in so many parts, as even as can be."""
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def rectangles(p: int, q: int) -> list[tuple[int, int, int, int]]:
    """(p0, p1, q0, q1) of the pieces that P x Q outputs are cut into."""
    across = cut(q, max(1, -(-q // TERMS)))
    most = max(1, TERMS // max(b - a for a, b in across))
    return [(*down, *columns) for down in cut(p, max(1, -(-p // most))) for columns in across]


def blocked(window: Window, x: Shape, dy: Shape, pieces: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """pairs and blocks of a Plan; and for each tap t, its first and last block. A tap that meets nothing has an empty one."""
    n, depth, outs = x[0], x[1], dy[1]
    several = max(1, TERMS // prod(dy[2:4])) if pieces == 1 else 1
    pairs: list[tuple[int, int]] = []
    blocks: list[tuple[int, int, int]] = []
    bounds = []
    for offset, first, last in meetings(window, 0, depth, outs):
        new = [(i * depth + window.stride[0] * o + offset, i * outs + o) for i in range(n) for o in range(first, last)]
        start = len(blocks)
        for a, b in cut(len(new), -(-len(new) // several)) or [(0, 0)]:
            blocks += [(piece, len(pairs) + a, len(pairs) + b) for piece in range(pieces)]
        pairs += new
        bounds.append((start, len(blocks)))
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(blocks, np.int64), bounds


def record(values: NamedTuple) -> np.ndarray:
    """An array of one record: a kernel takes it for the price of one argument, and reads its fields by name."""
    return records([values])


def records(values: list) -> np.ndarray:
    """An array of NamedTuples."""
    return np.array([tuple(value) for value in values], [(name, np.int64) for name in values[0]._fields])


def shared(parts: int, panels: int, width: int, terms: int, blocks: int) -> tuple[int, int]:
    """(blocks of panels, chunks of the sum) for each of so many parts, with JOBS jobs if they do not cost too much.

    A block of panels costs one more copy of dy, a chunk costs writing and adding the gradient once more, and fewer than
    JOBS jobs may cost idle threads.
    """

    def cost(both: tuple[int, int]) -> float:
        return 8 * both[0] / width + 24 * both[1] / terms + 0.05 * (JOBS / min(JOBS, parts * prod(both)))

    return min(((b, c) for b in range(1, min(JOBS, panels) + 1) for c in range(1, min(JOBS, blocks) + 1)), key=cost)


def odd(numbers: int, lane: int) -> int:
    """At least so many, as an odd number of lines: what lies that far apart falls on all sets of a cache."""
    return (-(-numbers // lane) | 1) * lane


@lru_cache(maxsize=256)
def plan(dtype: np.dtype, x: Shape, dy: Shape, window: Window, groups: int) -> Plan:
    """For x (N, D, H, W, C) and dy (N, O, P, Q, K), with output channels as the rows of tiles."""
    (_, _, h, w, channels), (_, _, p, q, filters) = x, dy
    (t, r, s), c, k, nr = window.kernel, channels // groups, filters // groups, lanes(dtype)
    pieces, rows, runs = _pieces(window, h, p, q)
    pairs, blocks, bounds = blocked(window, x, dy, len(pieces))
    pixels = int((blocks[:, 2] - blocks[:, 1]).max()) * max(piece.q1 - piece.q0 for piece in pieces)
    panels, k_parts = -(-c // nr), -(-k // ROWS)
    longest = max(last - first for first, last in bounds)
    c_parts, chunks = shared(groups * t * s * k_parts, panels, c * r, max(1, len(pairs) // t * p * q), longest)
    jobs = [
        Job(i, g * k + k0, k1 - k0, g * c, (tap_t * r * s + tap) * c, tap, c0, c1, first + b0, first + b1)
        for i in range(chunks)
        for g in range(groups)
        for tap_t, (first, last) in enumerate(bounds)
        for b0, b1 in cut(last - first, chunks)[i : i + 1]
        for tap in range(s)
        for k0, k1 in cut(k, k_parts)
        for c0, c1 in cut(panels, c_parts)
    ]
    a_panel, b_panel = (
        odd(nr * pixels * most, nr)
        for most in (max(piece.p1 - piece.p0 for piece in pieces), max(piece.last - piece.first for piece in pieces))
    )
    rooms = odd(-(-min(k, ROWS) // nr) * a_panel, nr), min(PANELS, panels) * b_panel
    size = Size(h, w, channels, p, q, filters, r, s, c, t * r * s * c, window.stride[2], a_panel, b_panel, *rooms)
    arrays = records(pieces), np.array(rows, np.int64), np.array(runs, np.int64), np.array(meetings(window, 2, w, q))
    return Plan(record(size), records(jobs), blocks, *arrays, pairs, chunks, 2 * prod(dy) * t * r * s * c)


def _pieces(window: Window, h: int, p: int, q: int) -> tuple[list[Piece], list[int], list]:
    """pieces, rows and runs of a Plan: rows of x are sorted by their phase in the stride, so that runs have no gaps."""
    step = window.stride[1]
    pieces, rows, runs = [], list(range(p)), []
    for p0, p1, q0, q1 in rectangles(p, q):
        met = [(tap.offset, *inside(tap.offset, step, p0, p1, h)) for tap in meetings(window, 1, h, p)]
        found = sorted({(i % step, i) for at, a, b in met for i in range(step * a + at, step * b + at, step)})
        place = {row: i for i, (_, row) in enumerate(found)}
        pieces.append(Piece(p0, p1, q0, q1, len(rows), len(rows) + len(found)))
        rows += [row for _, row in found]
        runs.append([(a - p0, place[step * a + at], b - a) if b > a else (0, 0, 0) for at, a, b in met])
    return pieces, rows, runs
