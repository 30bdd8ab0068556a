"""How the sum of a gradient by the weights is cut: into rectangles of output pixels, and these into jobs.

    dw[k,t,r,s,c] = sum_{n,o,p,q} dy[n,o,p,q,k] * x[n, ., ., stride*q + dilation*s - left, c]

A rectangle has at most TERMS pixels of one image, or all pixels of several small images. A tap (r, s) meets a part of it:
along an axis, those outputs whose place in the input lies inside. What it does not meet is neither copied nor multiplied,
so no image is padded. Depth is the choice of images: tap t pairs image o of dy with image stride*o + dilation*t - front
of x. Jobs are cut by the shape alone; where the gradient is too small to be shared out, the sum is, in `chunks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...core.shape import Shape, Window, prod
from .simd import BLOCK, MR, lanes

TERMS = BLOCK
JOBS = 16  # at least so many, if there is that much to share out
ROWS = 256  # of a job: with TERMS terms they fill half of a 512 KiB cache
PANELS = 8  # that are copied together, so that lines are read whole


class Meeting(NamedTuple):
    """A tap along an axis: it reaches stride*o + offset, and for the outputs first <= o < last that lies inside."""

    offset: int
    first: int
    last: int


class Piece(NamedTuple):
    """The rectangle [p0, p1) x [q0, q1) of outputs; the rows of x that its taps meet are rows[first:last]."""

    p0: int
    p1: int
    q0: int
    q1: int
    first: int
    last: int


class Size(NamedTuple):
    """All numbers of a plan. c, k: channels of a group.   images: of a block, if it has several.   jobs: of them all.

    k_rows, c_panels: of a job.   tile, panel: distances of copied tiles and panels.   a_room, b_room: for all of them.
    """

    height: int
    width: int
    channels: int
    p: int
    q: int
    filters: int
    t: int
    r: int
    s: int
    c: int
    k: int
    step: int
    images: int
    k_blocks: int
    k_rows: int
    c_blocks: int
    c_panels: int
    chunks: int
    jobs: int
    tile: int
    panel: int
    a_room: int
    b_room: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A gradient without its arrays. size: one Size.   pieces: Pieces.   rows: of x, as Pieces tell.

    runs: (pieces, R, 3): where a run of the sum begins in a piece of dy and in its rows of x, and its length, in rows.
    columns: (S, 3): Meetings.   pairs: (., 2) images of x and dy that meet, those of tap t from planes[t] on.
    """

    size: np.ndarray
    pieces: np.ndarray
    rows: np.ndarray
    runs: np.ndarray
    columns: np.ndarray
    pairs: np.ndarray
    planes: np.ndarray
    flops: int


def meetings(window: Window, axis: int, size: int, outs: int) -> list[Meeting]:
    """Of all taps along an axis of an input of this size."""
    step, before = window.stride[axis], window.padding[axis][0]
    offsets = [window.dilation[axis] * tap - before for tap in range(window.kernel[axis])]
    return [Meeting(at, *_inside(at, step, 0, outs, size)) for at in offsets]


def _inside(offset: int, step: int, first: int, last: int, size: int) -> tuple[int, int]:
    low = max(first, -(offset // step))
    return low, max(low, min(last, (size - 1 - offset) // step + 1))


def cut(n: int, most: int) -> list[tuple[int, int]]:
    """[0, n) in parts as even as can be, of at most so many."""
    parts = max(1, -(-n // most))
    return [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def rectangles(p: int, q: int) -> list[tuple[int, int, int, int]]:
    """The rectangles that P x Q outputs are cut into."""
    across = cut(q, TERMS)
    down = cut(p, max(1, TERMS // max(b - a for a, b in across)))
    return [(*rows, *columns) for rows in down for columns in across]


def paired(window: Window, n: int, depth: int, outs: int) -> tuple[np.ndarray, np.ndarray]:
    """pairs and planes of a Plan."""
    pairs = [
        [(i * depth + window.stride[0] * o + offset, i * outs + o) for i in range(n) for o in range(first, last)]
        for offset, first, last in meetings(window, 0, depth, outs)
    ]
    flat = [pair for plane in pairs for pair in plane]
    return np.array(flat, np.int64).reshape(-1, 2), np.cumsum([0, *map(len, pairs)])


def record(values: NamedTuple) -> np.ndarray:
    """An array of one record: a kernel takes it for the price of one argument, and reads its fields by name."""
    return np.array([tuple(values)], np.dtype([(name, np.int64) for name in values._fields]))


def shared(parts: int, panels: int, width: int, terms: int) -> tuple[int, int]:
    """(blocks of panels, chunks of the sum) for each of so many parts, with JOBS jobs if they do not cost too much.

    A block costs one more copy of dy, a twentieth of `width` of it; a chunk costs writing and adding the gradient once
    more, as much as some 16 terms; a job less than JOBS may cost idle threads.
    """

    def cost(blocks: int, chunks: int) -> float:
        jobs = min(JOBS, parts * blocks * chunks)
        return 8 * blocks / width + 16 * chunks / terms + 0.05 * (JOBS / jobs - 1)

    return min(
        ((b, c) for b in range(1, min(JOBS, panels) + 1) for c in range(1, JOBS + 1)), key=lambda both: cost(*both)
    )


def odd(numbers: int, lane: int) -> int:
    """At least so many, as an odd number of lines: what lies that far apart falls on all sets of a cache."""
    return (-(-numbers // lane) | 1) * lane


@lru_cache(maxsize=256)
def plan(dtype: np.dtype, x: Shape, dy: Shape, window: Window, groups: int) -> Plan:
    """For x (N, D, H, W, C) and dy (N, O, P, Q, K), with output channels as the rows of tiles."""
    n, depth, h, w, channels = x
    _, outs, p, q, filters = dy
    (t, r, s), c, k, nr = window.kernel, channels // groups, filters // groups, lanes(dtype)
    down, across = meetings(window, 1, h, p), meetings(window, 2, w, q)
    step = window.stride[1]
    pieces, rows, runs = [], [], []
    for p0, p1, q0, q1 in rectangles(p, q):
        met = [(at, *_inside(at, step, p0, p1, h)) for at, _, _ in down]
        inside = sorted(
            {(i % step, i) for at, low, high in met for i in range(step * low + at, step * high + at, step)}
        )
        place = {row: i for i, (_, row) in enumerate(inside)}
        pieces.append(Piece(p0, p1, q0, q1, len(rows), len(rows) + len(inside)))
        rows += [row for _, row in inside]
        runs.append([(a - p0, place.get(step * a + at, 0), b - a) for at, a, b in met])
    pairs, planes = paired(window, n, depth, outs)
    most = int(np.diff(planes).max())
    images = max(1, -(-most // -(-most // max(1, TERMS // (p * q))))) if most else 1
    width = max(piece.q1 - piece.q0 for piece in pieces) * images
    k_rows = -(-k // -(-k // ROWS))
    panels = -(-c // nr)
    blocks, chunks = shared(groups * t * s * -(-k // k_rows), panels, c * r, max(1, most * p * q))
    c_panels = -(-panels // blocks)
    tile = odd(MR * width * max(piece.p1 - piece.p0 for piece in pieces), nr)
    panel = odd(nr * width * max(piece.last - piece.first for piece in pieces), nr)
    parts = groups * t * s, -(-k // k_rows), -(-panels // c_panels)
    size = Size(
        height=h,
        width=w,
        channels=channels,
        p=p,
        q=q,
        filters=filters,
        t=t,
        r=r,
        s=s,
        c=c,
        k=k,
        step=window.stride[2],
        images=images,
        k_blocks=parts[1],
        k_rows=k_rows,
        c_blocks=parts[2],
        c_panels=c_panels,
        chunks=chunks,
        jobs=prod(parts) * chunks,
        tile=tile,
        panel=panel,
        a_room=odd((k_rows // MR + 3) * tile, nr),
        b_room=odd(min(PANELS, c_panels) * panel, nr),
    )
    arrays = np.array(pieces, np.dtype([(name, np.int64) for name in Piece._fields])), np.array([*rows, 0], np.int64)
    meets = np.array(runs, np.int64), np.array(across, np.int64)
    return Plan(record(size), *arrays, *meets, pairs, planes, 2 * prod(dy) * t * r * s * c)
